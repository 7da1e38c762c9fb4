#include "dm/server/vfio_user/dma_table.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"

namespace acrn::vfio_user {

int DmaTable::map(const DmaMap& piece, const UniqueFd& fd) {
  const uint64_t address = piece.address, size = piece.size, offset = piece.offset;
  if ((piece.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) != 0) return EINVAL;
  if (size == 0 || (address | size | offset) % kPage != 0 || address + size - 1 < address) return EINVAL;
  if (overlaps(address, size)) return EEXIST;
  if (pieces_.size() == kMaxDmaMaps || size > kMaxBytes || bytes_ > kMaxBytes - size) return ENOSPC;
  constexpr uint32_t kBoth = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  Piece added{size, (piece.flags & kBoth) == kBoth, nullptr};
  if (fd && added.is_ram) {
    int error;
    added.memory = SharedMapping::create(fd.fd(), offset, size, error);
    if (added.memory == nullptr) return error;
  }
  const bool is_ram = added.is_ram;
  if (is_ram && added.memory == nullptr) warn_of_unreachable(address, size);
  pieces_.emplace(address, std::move(added));
  bytes_ += size;
  if (is_ram) replace();
  return 0;
}

// Not refused: QEMU ends its VM then, and it is not the guest's memory alone that is granted so, but its video memory too.
void DmaTable::warn_of_unreachable(uint64_t address, uint64_t size) {
  if (!std::has_single_bit(++unreachable_)) return;
  log(LogLevel::kWarning,
      concat("vfio-user: the client grants memory ", hex(address), "..", hex(address + size - 1),
             " in a way that a disk cannot reach (number ", unreachable_,
             "); if that is RAM, requests that use it will fail: with QEMU give its memory backend share=on"));
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
  if (removed.mapped().is_ram) replace();
  return 0;
}

void DmaTable::clear() {
  pieces_.clear();
  bytes_ = unreachable_ = 0;
  replace();
}

bool DmaTable::usable() const {
  return std::any_of(pieces_.begin(), pieces_.end(), [](const auto& piece) { return piece.second.memory != nullptr; });
}

bool DmaTable::lost() const {
  return std::any_of(pieces_.begin(), pieces_.end(), [](const auto& piece) {
    return piece.second.memory != nullptr && piece.second.memory->lost();
  });
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
      regions.push_back({Gpa{address}, piece.size, piece.memory->data(), piece.memory});
    } else if (piece.is_ram) {
      unreachable.push_back({Gpa{address}, piece.size});
    }
  }
  auto map = std::make_shared<const MemoryMap>(std::move(regions), std::move(unreachable));
  function_.change_memory([&] { memory_.replace(std::move(map)); });
}

}  // namespace acrn::vfio_user
