#include "dm/tools/crash/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr uint64_t kLargestWrite = uint64_t{1} << 32;  // bytes

Error cannot_read(const std::string& path, std::string_view why) {
  return Error{ErrorKind::kNoInput, concat("--log ", path, ": ", why)};
}

}  // namespace

Result<LogFile> LogFile::load(const std::string& path) {
  LogFile log;
  log.path_ = path;
  log.file_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!log.file_ || ::fstat(log.file_.fd(), &status) != 0) return cannot_read(path, errno_text(errno));
  LogWritesSuper super{};
  if (::pread(log.file_.fd(), &super, sizeof(super), 0) != sizeof(super) || super.magic != kLogWritesMagic ||
      super.version != kLogWritesVersion) {
    return cannot_read(path, "no log of writes; give a file that log=<file> has made, or dm-log-writes");
  }
  const uint64_t sector = super.sector_size, size = static_cast<uint64_t>(status.st_size);
  if (sector < 512 || sector > 65536 || !std::has_single_bit(sector)) {
    return cannot_read(path, concat("sectors of ", sector, " bytes; a power of two from 512 to 65536 is right"));
  }
  uint64_t at = sector;
  for (uint64_t i = 0; i < super.entries; i++) {
    std::vector<char> block(sector);
    LogWritesEntry entry{};
    if (at > size || size - at < sector ||
        ::pread(log.file_.fd(), block.data(), sector, static_cast<off_t>(at)) != static_cast<ssize_t>(sector)) {
      log.damage_ = concat("entry ", i + 1, " of ", uint64_t{super.entries}, " is behind its end");
      break;
    }
    std::memcpy(&entry, block.data(), sizeof(entry));
    LoggedWrite write{.flags = entry.flags, .mark = {}};
    const uint64_t most = kLargestWrite / sector;
    const bool mark = write.is(LogWritesEntry::kMark), discard = write.is(LogWritesEntry::kDiscard);
    if (entry.sectors > most || entry.sector > (uint64_t{1} << 62) / sector ||
        (mark && entry.data_bytes > sector - sizeof(entry))) {
      log.damage_ = concat("entry ", i + 1, " makes no sense");
      break;
    }
    write.offset = entry.sector * sector;
    write.length = entry.sectors * sector;
    at += sector;
    write.data = at;
    if (mark) write.mark.assign(block.data() + sizeof(entry), entry.data_bytes);
    if (!mark && !discard) at += write.length;
    if (at > size) {
      log.damage_ = concat("the data of entry ", i + 1, " is behind its end");
      break;
    }
    log.entries_.push_back(std::move(write));
  }
  return log;
}

Result<std::vector<std::byte>> LogFile::read(const LoggedWrite& entry) const {
  std::vector<std::byte> data(entry.length);
  if (entry.is(LogWritesEntry::kDiscard)) return data;
  for (size_t done = 0; done < data.size();) {
    const ssize_t size = ::pread(file_.fd(), &data[done], data.size() - done, static_cast<off_t>(entry.data + done));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Error{ErrorKind::kIo, concat("--log ", path_, ": ", errno_text(errno))};
    if (size == 0) break;
    done += static_cast<size_t>(size);
  }
  return data;
}

}  // namespace acrn
