// A log of writes in the format of dm-log-writes, read: that of log= or of the kernel's. What stands in the file is
// checked, whoever wrote it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/block/log_writes.h"

namespace acrn {

struct LoggedWrite {
  uint64_t flags = 0;               // of LogWritesEntry
  uint64_t offset = 0, length = 0;  // bytes of the disk
  uint64_t data = 0;                // where they are in the log
  std::string mark;

  bool is(uint64_t flag) const { return (flags & flag) != 0; }
  bool writes() const { return length != 0 && !is(LogWritesEntry::kMark); }
};

class LogFile {
 public:
  // A part of a write: bytes, or `length` zeroes where there are none.
  struct Piece {
    uint64_t offset = 0, length = 0;  // bytes of the disk
    std::span<const std::byte> data = {};
  };
  using Visit = std::function<Result<void>(const Piece&)>;

  // Errors: kNoInput: it cannot be read, is no log, or is damaged.
  static Result<LogFile> load(const std::string& path);

  const std::vector<LoggedWrite>& entries() const { return entries_; }
  uint64_t sector() const { return sector_; }  // bytes, a power of two of 512 and more
  // Calls visit(piece) for the first `bytes` of a write, in order, of up to 1 MiB of data each. What was discarded is
  // zeroes. Errors: kIo, and those of `visit`, with which it ends.
  Result<void> each_piece(const LoggedWrite& entry, uint64_t bytes, const Visit& visit) const;

 private:
  Error cannot_read(std::string_view why) const;
  // At `at` in the file, which is moved behind it.
  Result<LoggedWrite> load_entry(uint64_t sector, uint64_t size, uint64_t& at) const;

  UniqueFd file_;
  std::string path_;
  uint64_t sector_ = 512;
  std::vector<LoggedWrite> entries_;
};

}  // namespace acrn
