#include "dm/tools/crash/log_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/whole_io.h"

namespace acrn {
namespace {

constexpr uint64_t kSector = 512, kLargestDisk = uint64_t{1} << 62, kPiece = 1 << 20;  // bytes

}  // namespace

Error LogFile::cannot_read(std::string_view why) const {
  return Error{ErrorKind::kNoInput, concat("--log ", path_, ": ", why)};
}

Result<LoggedWrite> LogFile::load_entry(uint64_t sector, uint64_t size, uint64_t& at) const {
  const auto damaged = [this](std::string_view why) {
    return cannot_read(concat("it is damaged: entry ", entries_.size() + 1, " ", why));
  };
  std::vector<std::byte> block(sector);
  if (at > size || size - at < sector) return damaged("is behind its end");
  if (const int error = read_whole(file_.fd(), at, block); error != 0) return cannot_read(errno_text(error));
  at += sector;
  LogWritesEntry entry{};
  std::memcpy(&entry, block.data(), sizeof(entry));
  LoggedWrite write{.flags = entry.flags, .data = at, .mark = {}};
  const uint64_t most = kLargestDisk / sector, text = entry.data_bytes;
  const bool mark = write.is(LogWritesEntry::kMark);
  if (entry.sectors > most || entry.sector > most || (mark && text > sector - sizeof(entry))) {
    return damaged("makes no sense");
  }
  write.offset = entry.sector * sector;
  write.length = entry.sectors * sector;
  // SAFETY: bytes may be read as characters, and there are as many.
  if (mark) write.mark.assign(reinterpret_cast<const char*>(&block[sizeof(entry)]), text);
  if (mark || write.is(LogWritesEntry::kDiscard)) return write;
  if (write.length > size - at) return damaged("has data behind its end");
  at += write.length;
  return write;
}

Result<LogFile> LogFile::load(const std::string& path) {
  LogFile log;
  log.path_ = path;
  log.file_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const off_t size = log.file_ ? ::lseek(log.file_.fd(), 0, SEEK_END) : -1;  // of a device, too
  if (size < 0) return log.cannot_read(errno_text(errno));
  LogWritesSuper super{};
  if (read_whole(log.file_.fd(), 0, std::as_writable_bytes(std::span(&super, 1))) != 0 ||
      super.magic != kLogWritesMagic || super.version != kLogWritesVersion) {
    return log.cannot_read("no log of writes; give a file that log=<file> has made, or dm-log-writes");
  }
  const uint64_t sector = super.sector_size;
  if (sector < kSector || sector > 65536 || !std::has_single_bit(sector)) {
    return log.cannot_read(concat("sectors of ", sector, " bytes; a power of two from 512 to 65536 is right"));
  }
  log.sector_ = sector;
  uint64_t at = sector;
  for (uint64_t i = 0; i < super.entries; i++) {
    auto entry = log.load_entry(sector, static_cast<uint64_t>(size), at);
    if (!entry) return entry.error();
    log.entries_.push_back(std::move(entry).value());
  }
  return log;
}

Result<void> LogFile::each_piece(const LoggedWrite& entry, uint64_t bytes, const Visit& visit) const {
  if (entry.is(LogWritesEntry::kDiscard)) return visit({.offset = entry.offset, .length = bytes});
  std::vector<std::byte> data;
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t begin = entry.data + done;
    const off_t found = ::lseek(file_.fd(), static_cast<off_t>(begin), SEEK_DATA);
    const bool hole = found < 0 && errno == ENXIO;  // up to the end
    const uint64_t next = hole ? UINT64_MAX : found < 0 ? begin : static_cast<uint64_t>(found);
    Piece piece{.offset = entry.offset + done, .length = std::min(next - begin, bytes - done) / kSector * kSector};
    if (piece.length == 0) {
      piece.length = std::min(bytes - done, kPiece);
      data.resize(piece.length);
      if (const int error = read_whole(file_.fd(), begin, data); error != 0) {
        return Error{ErrorKind::kIo, concat("--log ", path_, ": ", errno_text(error))};
      }
      piece.data = data;
    }
    if (Result<void> visited = visit(piece); !visited) return visited;
    done += piece.length;
  }
  return {};
}

}  // namespace acrn
