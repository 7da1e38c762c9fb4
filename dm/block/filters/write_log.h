// WriteLog: every write of a disk in the order in which a crash could have kept it, in a file in the format of
// dm-log-writes, so that each state that a crash could have left can be made again (docs/adr/0038).
// make_filter_log(): the disk that is logged.
//
// A write is in the log from its completion on; that it is stable the log says by the flush behind it, or by its own
// FUA flag. A flush stands where it was issued, behind the writes that were done before, and counts from its end on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/block/blockif.h"

namespace acrn {

// One for each disk. Any thread.
class WriteLog {
 public:
  static constexpr size_t kLongestMark = 480;  // bytes

  // Whether a log may go to that file, which is then replaced: it is not there yet, empty, or a log. Errors: kUsage,
  // kNoInput.
  static Result<void> check(const std::string& path);
  // An older log is still there after it, until the first entry: what comes next may fail, and then nothing is lost.
  static Result<std::shared_ptr<WriteLog>> create(const std::string& path);

  // A write, discard or zeroes that are done; `data` is what was written, empty for the other two. Returns an errno:
  // the log does not have it, so nobody must be told that it is done.
  int write_done(BlockOp op, bool stable, uint64_t offset, uint64_t length, std::span<const std::byte> data);
  // A flush is issued; what it returns goes to its end, which says whether it was done.
  uint64_t flush_begins();
  int flush_ends(uint64_t place, bool done);
  // A text at this moment, of 1 to kLongestMark bytes. Errors: kUsage, kIo.
  Result<void> mark(std::string_view text);
  // The disk has failed a write, so that nobody knows what it holds: nothing more is logged.
  void end(std::string_view why);

 private:
  struct Entry {
    uint64_t flags = 0;                    // of LogWritesEntry
    uint64_t offset = 0, length = 0;       // bytes
    std::span<const std::byte> data = {};  // of a write; empty: zeroes
    std::string_view mark = {};
  };

  WriteLog(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

  int append(const Entry& entry) ACRN_REQUIRES(mutex_);
  int put_entry(const Entry& entry) ACRN_REQUIRES(mutex_);
  int put(std::span<const std::byte> data) ACRN_REQUIRES(mutex_);
  int put_zeroes(uint64_t size) ACRN_REQUIRES(mutex_);
  int put_at(uint64_t offset, std::span<const std::byte> data) ACRN_REQUIRES(mutex_);
  int count() ACRN_REQUIRES(mutex_);
  int fail(int error) ACRN_REQUIRES(mutex_);

  const std::string path_;
  const UniqueFd file_;
  Mutex mutex_;                                   // leaf, held across writes of the file
  uint64_t size_ ACRN_GUARDED_BY(mutex_) = 0;     // bytes of complete entries
  uint64_t entries_ ACRN_GUARDED_BY(mutex_) = 0;  // complete ones
  int error_ ACRN_GUARDED_BY(mutex_) = 0;
  bool older_ ACRN_GUARDED_BY(mutex_) = false;  // one is still in the file
  bool ended_ ACRN_GUARDED_BY(mutex_) = false;
};

std::unique_ptr<BlockBackend> make_filter_log(std::unique_ptr<BlockBackend> below, std::shared_ptr<WriteLog> log);

}  // namespace acrn
