// SharedMapping: a mapping of a file that others may shorten at any time, as memory of another process, or that its
// medium may fail to read. An access to what is not there would end this process by SIGBUS; where that is caught the
// whole mapping turns into private zeroes, for good, and lost() says so. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"

namespace acrn {

class SharedMapping {
 public:
  // Whether this program has a handler of SIGBUS that calls recover(), see bus_errors.h. Relaxed: it stands for itself.
  static bool has_handler() { return has_handler_.load(std::memory_order_relaxed); }
  static void note_handler() { has_handler_.store(true, std::memory_order_relaxed); }
  // For a handler of SIGBUS: whether the address is in a mapping, which is zeroes now. Async-signal-safe, but for
  // errno.
  static bool recover(const void* fault);

  // Maps [offset, offset + size) of `fd`, for reading and writing; in units of 4096.
  // `error`: an errno when it returns none; EINVAL for what is no plain memory or file, or ends before that range.
  static std::unique_ptr<SharedMapping> create(int fd, uint64_t offset, uint64_t size, int& error);
  // The same of a file or block device of ours that ends behind that range, for reading.
  static std::unique_ptr<SharedMapping> create_for_reading(int fd, uint64_t offset, uint64_t size, int& error);
  ~SharedMapping();
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  std::byte* data() const { return data_; }
  bool lost() const;
  // `mapping` as `size` bytes of a guest's memory; others may be given the file if nobody can shorten it.
  static MemoryRegion region(const std::shared_ptr<const SharedMapping>& mapping, Gpa base, uint64_t size);

  struct Guard;  // what the signal handler reads

 private:
  static inline std::atomic<bool> has_handler_{false};

  SharedMapping(std::byte* data, Guard& guard) : data_(data), guard_(guard) {}
  static std::unique_ptr<SharedMapping> map(int fd, uint64_t begin, uint64_t whole, int protection, uint64_t skipped,
                                            int& error);

  std::byte* const data_;
  Guard& guard_;
  UniqueFd file_;  // if nobody can shorten it
  uint64_t offset_ = 0;
};

}  // namespace acrn
