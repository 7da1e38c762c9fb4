// A lock over the bytes of a file that a disk serves: an open-file-description lock, exclusive, or shared for a
// read-only disk. It goes with the last descriptor of the open file.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "acrn/base/result.h"

namespace acrn {

struct ByteLock {
  int fd;
  uint64_t start, length;  // bytes
  bool shared;
  std::string name;   // of the file, for messages
  bool sent = false;  // by somebody who has the same open file, and may have sent it to others, too

  // Takes it, or only looks whether it could be had. One that somebody else has is tried again, 10 ms apart.
  Result<void> take(unsigned tries = 1) const;
  Result<void> look(unsigned tries = 1) const;
  // Where it would not go with our descriptor, since others have the same open file.
  void release() const;

 private:
  Result<void> take_from_all(unsigned tries) const;
  Result<void> attempt(int command, unsigned tries) const;
};

// A process that was killed with requests in io_uring is gone before its locks are, which wait for the last request: a
// sync of a busy disk.
inline constexpr unsigned kLockTries = 300;

// The length of all bytes of a file, whatever its size.
inline constexpr uint64_t kWholeFile = std::numeric_limits<int64_t>::max();

// Where QEMU locks an image that it writes: this byte, shared (its block/file-posix.c).
inline constexpr uint64_t kQemuWrites = 101;
// For who only reads, whose shared lock does not meet QEMU's: whether it, or a program of its, writes the file.
bool is_written_by_qemu(int fd, unsigned tries = 1);

// What is wrong with a file of which somebody else serves these bytes.
Error bytes_in_use(const std::string& name, uint64_t start, uint64_t length, const std::string& user);

}  // namespace acrn
