// A piece of a file, read or written whole.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

namespace acrn {

// 0, or an errno.
inline int write_whole(int fd, uint64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : ENOSPC;
    data = data.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return 0;
}

// 0, or an errno: ENODATA where the file ends before.
inline int read_whole(int fd, uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t size = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return size < 0 ? errno : ENODATA;
    to = to.subspan(static_cast<size_t>(size));
    offset += static_cast<uint64_t>(size);
  }
  return 0;
}

}  // namespace acrn
