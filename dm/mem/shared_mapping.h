// SharedMapping: memory of another process, by a file of its own that it may shorten at any time. An access behind the
// file's end would end this process by SIGBUS; where that is caught the whole mapping turns into private zeroes, for
// good, and lost() says so. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace acrn {

class SharedMapping {
 public:
  // Catches SIGBUS from now on, in a program that has no handler of its own. False, with errno: it cannot be.
  static bool catch_bus_errors();
  // For a handler of SIGBUS: whether the address is in a mapping, which is zeroes now. Async-signal-safe, but for
  // errno.
  static bool recover(const void* fault);

  // Maps [offset, offset + size) of `fd`, for reading and writing; in units of 4096. The descriptor is not kept.
  // `error`: an errno when it returns none; EINVAL for what is no plain memory or file, or ends before that range.
  static std::unique_ptr<SharedMapping> create(int fd, uint64_t offset, uint64_t size, int& error);
  ~SharedMapping();
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  std::byte* data() const { return data_; }
  bool lost() const;

  struct Guard;  // what the signal handler reads

 private:
  SharedMapping(std::byte* data, Guard& guard) : data_(data), guard_(guard) {}

  std::byte* const data_;
  Guard& guard_;
};

}  // namespace acrn
