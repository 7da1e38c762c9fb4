#include "dm/server/vfio_user/dma_table.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"
#include "dm/base/errno_text.h"
#include "dm/mem/bus_errors.h"

namespace acrn::vfio_user {
namespace {

constexpr uint32_t kBoth = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
constexpr size_t kMostTold = 64;  // pieces that are remembered because something was said of them

}  // namespace

int DmaTable::map(const DmaMap& piece, const UniqueFd& fd, Client& client) {
  const uint64_t address = piece.address, size = piece.size, offset = piece.offset;
  if ((piece.flags & ~kBoth) != 0) return EINVAL;
  if (size == 0 || (address | size | offset) % kPageBytes != 0 || address + size - 1 < address) return EINVAL;
  if (overlaps(address, size)) return EEXIST;
  if (pieces_.size() == kMaxDmaMaps || size > kMaxBytes || bytes_ > kMaxBytes - size) return ENOSPC;
  Piece added{size, nullptr};
  if ((piece.flags & kBoth) == kBoth) {
    const bool is_private = fd && offset + size > offset && client.mappings.are_private(fd.fd(), offset, size);
    if (is_private && !client.runs) {
      tell(LogLevel::kError, piece, "refused: the client has its file mapped for itself alone");
      return EINVAL;
    }
    if (!fd || is_private) {
      tell(LogLevel::kWarning, piece,
           "out of reach for a disk, so requests that use it will fail (if it is RAM, and not that of a display)");
    } else {
      int error = EINVAL;
      if (catch_bus_errors()) added.memory = SharedMapping::create(fd.fd(), offset, size, error);
      if (added.memory == nullptr) {
        tell(LogLevel::kError, piece, concat("refused: its file cannot be mapped (", errno_text(error), ")"));
        return error;
      }
    }
  }
  pieces_.emplace(address, std::move(added));
  bytes_ += size;
  replace();
  return 0;
}

// A client may grant, leave and come again as often as it likes.
void DmaTable::tell(LogLevel level, const DmaMap& piece, std::string_view what) {
  const std::pair<uint64_t, uint64_t> range{piece.address, piece.size};
  if (told_.size() == kMostTold && !told_.contains(range)) told_.erase(told_.begin());
  if (!worth_telling(++told_[range])) return;
  if (++lines_ > kMostTold && !std::has_single_bit(lines_)) return;
  log(level, concat("vfio-user: memory ", hex(piece.address), "..", hex(piece.address + piece.size - 1), " is ", what,
                    "; with QEMU give its memory backend share=on"));
}

int DmaTable::unmap(const DmaUnmap& piece) {
  if (piece.flags == VFIO_DMA_UNMAP_FLAG_ALL) {
    if (piece.address != 0 || piece.size != 0) return EINVAL;
    clear();
    return 0;
  }
  if (piece.flags != 0) return ENOTSUP;  // a bitmap of dirty pages
  const auto found = pieces_.find(piece.address);
  if (found == pieces_.end() || found->second.size != piece.size) return ENOENT;
  const auto removed = pieces_.extract(found);
  bytes_ -= removed.mapped().size;
  replace();
  return 0;
}

void DmaTable::clear() {
  pieces_.clear();
  bytes_ = 0;
  replace();
}

bool DmaTable::usable() const {
  return std::any_of(pieces_.begin(), pieces_.end(), [](const auto& piece) { return piece.second.memory != nullptr; });
}

bool DmaTable::lost() const {
  return std::any_of(pieces_.begin(), pieces_.end(),
                     [](const auto& piece) { return piece.second.memory != nullptr && piece.second.memory->lost(); });
}

bool DmaTable::overlaps(uint64_t address, uint64_t size) const {
  auto next = pieces_.lower_bound(address);
  if (next != pieces_.end() && next->first - address < size) return true;
  if (next == pieces_.begin()) return false;
  --next;
  return address - next->first < next->second.size;
}

void DmaTable::replace() {
  std::vector<MemoryRegion> regions;
  std::vector<GpaRange> unreachable;
  for (const auto& [address, piece] : pieces_) {
    if (piece.memory != nullptr) {
      regions.push_back(SharedMapping::region(piece.memory, Gpa{address}, piece.size));
    } else {
      unreachable.push_back({Gpa{address}, piece.size});
    }
  }
  auto map = std::make_shared<const MemoryMap>(std::move(regions), std::move(unreachable));
  function_.change_memory([&] { memory_.replace(std::move(map)); });
}

}  // namespace acrn::vfio_user
