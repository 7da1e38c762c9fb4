// SharedMapping: memory of another process, by a file of its own that it may shorten at any time. An access behind the
// file's end would end this process by SIGBUS; instead the whole mapping turns into private zeroes, for good, and
// lost() says so. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace acrn {

class SharedMapping {
 public:
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
