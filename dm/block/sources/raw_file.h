// RawFile: one opened file or block device, and what a block request means in system calls. Owned by an
// engine. Any thread, any number at once. The fd is open for as long as this lives.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/byte_lock.h"
#include "dm/block/sources/mapped_reads.h"
#include "dm/block/sources/sync_files.h"

namespace acrn {

struct RawFileTraits {
  std::string name;  // for messages
  BlockInfo info;    // of the whole file
  bool block_device = false;
  bool direct = false;             // opened with O_DIRECT
  bool dont_cache = false;         // what is transferred does not stay in the page cache
  bool lock_growth = false;        // every byte served is locked, so those of a grown file must be too
  uint32_t sector = 512;           // bytes: what a new size must be a multiple of
  bool map_reads = false;          // what is in the page cache may be read by a mapping
  bool reopen = true;              // its file, for each stable write that execute() carries out at a time
  bool window = false;             // only a part is served, so the size may be any that holds it
  std::optional<ByteLock> unlock;  // at the end, since the descriptor's sender has it too, and its locks
};

class RawFile {
 public:
  RawFile(UniqueFd fd, const RawFileTraits& traits);
  ~RawFile();

  // Carries the request out and returns 0 or an errno; blocks. A transfer that meets the end of the file is
  // EIO. The size of the file never changes by this.
  int execute(const BlockRequest& request);

  // Transfers of more are not tried by an event loop.
  static constexpr uint64_t kMostTried = 64 << 10;  // bytes: about 10 us

  // Carries out a kRead by copying what is in memory, without a system call. False: not done, and whatever it wrote
  // into the vectors is of no meaning. `timer` was looked at a short time ago.
  bool read_mapped(const BlockRequest& request, MappedReads::Access access, LapTimer& timer) {
    return mapped_ != nullptr && is_inside(request) &&
           mapped_->read(request.iov, request.offset, request.length, access, timer);
  }
  // The same is about to be asked for.
  void prefetch(const BlockRequest& request, MappedReads::Access access) const {
    if (mapped_ != nullptr) mapped_->prefetch(request.offset, access);
  }
  // For an engine's event loop: carries out a kRead if that needs no waiting for a medium. False: not done,
  // and whatever it wrote into the vectors is of no meaning. `may_begin`: what is missing may be asked of the medium on
  // the way, which takes 10 us if the medium has nothing else to do, and waits for others if it has. `timer` as above.
  bool try_read(const BlockRequest& request, MappedReads::Access access, bool may_begin, LapTimer& timer);
  // False: try_read() never succeeds (O_DIRECT, or a file system that does not know RWF_NOWAIT).
  // Relaxed: a hint, nothing is published by it.
  bool may_try_read() const { return inline_reads_.load(std::memory_order_relaxed) != InlineReads::kNever; }
  // The host cannot be asked not to wait, so a try_read() that took long was a miss that it did not report.
  bool try_read_may_wait() const {
    return inline_reads_.load(std::memory_order_relaxed) == InlineReads::kMemory;  // as above
  }

  // A write that need not be stable ends in the host's memory.
  bool writes_to_cache() const { return !traits_.direct; }
  // Whether the kernel carries out such writes at the same time: those to one regular file wait for each other.
  bool writes_in_parallel() const { return traits_.direct || traits_.block_device; }

  // Whether the kernel can be asked to keep nothing of the file in its page cache (RWF_DONTCACHE). Reads a byte.
  static bool knows_dont_cache(int fd);

  // For engines that hand requests to the kernel themselves.
  // RWF flags of a kRead or kWrite.
  int transfer_flags(const BlockRequest& request) const;
  // 0, or the errno of a request that must not be tried.
  int check(const BlockRequest& request) const;
  // What a kDiscard may free: rounded inwards, empty if begin >= end.
  struct Bytes {
    uint64_t begin, end;
  };
  Bytes discardable(const BlockRequest& request) const;
  // Passes on the result (0 or errno) of syncing fd(), or of a synchronous-data write, and remembers a lost sync.
  int note_flush(int error) { return sync_.note_flush(error); }
  int note_stable_write(int error);
  // Of a stable write that was synced by fd() afterwards, see SyncFiles::note_synced_write().
  int note_synced_write(int error, unsigned losses_before) { return sync_.note_synced_write(error, losses_before); }
  unsigned losses() { return sync_.losses(); }
  // Before and after a kDiscard, or a kWriteZeroes that may unmap.
  void note_removal(const BlockRequest& request) {
    if (mapped_ != nullptr) mapped_->forget(request.offset, request.offset + request.length);
  }

  int fd() const { return fd_.fd(); }
  BlockInfo info() const;
  Result<uint64_t> refresh_size();

 private:
  enum class InlineReads : uint8_t { kNever, kNowait, kMemory };

  static InlineReads inline_reads_of(int fd, const RawFileTraits& traits);
  bool is_inside(const BlockRequest& request) const {
    return request.is_inside(size_.load(std::memory_order_relaxed));  // the size stands for itself
  }
  int read(const BlockRequest& request);
  int transfer(int fd, const BlockRequest& request);
  int flush();
  int remove(const BlockRequest& request);
  int discard(const BlockRequest& request);
  int write_zeroes(const BlockRequest& request);
  int zero_range(const BlockRequest& request);
  int write_zero_bytes(uint64_t offset, uint64_t length);

  const UniqueFd fd_;
  const RawFileTraits traits_;
  std::atomic<uint64_t> size_;
  SyncFiles sync_;
  std::atomic<InlineReads> inline_reads_;
  const std::unique_ptr<MappedReads> mapped_;  // null: not to be
};

// To be written; written by nobody, and not const, so that it takes no room in the program's file. Aligned for
// O_DIRECT.
extern std::array<std::byte, 64 << 10> zero_bytes;

// A file that answers EAGAIN this often is not going to serve us.
inline constexpr unsigned kMaxAgain = 1000;
// Vectors of a call after a short transfer that ended within one (IoVecCursor::for_system_call).
inline constexpr size_t kCutVectors = 64;

// True: the host knows no such operation for this file or this alignment, so another way is taken.
bool lacks_operation(int error);

// The size in bytes of what the descriptor stands for, or an errno.
int size_of(int fd, bool block_device, uint64_t& size);

}  // namespace acrn
