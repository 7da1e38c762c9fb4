// A log of writes in the format of dm-log-writes, read: that of log= or of the kernel's. What stands in the file is
// checked, whoever wrote it.
#pragma once

#include <cstdint>
#include <string>
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
  // Errors: kNoInput: it cannot be read, or is no log.
  static Result<LogFile> load(const std::string& path);

  const std::vector<LoggedWrite>& entries() const { return entries_; }
  // Empty, or where the log stops making sense: what is before is here.
  const std::string& damage() const { return damage_; }
  // Of a write: its bytes; zeroes where the log ends, and of a discard. Errors: kIo.
  Result<std::vector<std::byte>> read(const LoggedWrite& entry) const;

 private:
  UniqueFd file_;
  std::string path_;
  std::vector<LoggedWrite> entries_;
  std::string damage_;
};

}  // namespace acrn
