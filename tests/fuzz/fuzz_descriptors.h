// Descriptors that a client of a server may send.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "acrn/base/check.h"
#include "acrn/base/unique_fd.h"

namespace acrn::test {

constexpr size_t kFuzzMemory = 64 * 1024;  // bytes

// What a client may have at hand; made once, each message gets duplicates.
class Descriptors {
 public:
  Descriptors() {
    ACRN_CHECK(::pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) == 0);
    ACRN_CHECK(::ftruncate(memory(), kFuzzMemory) == 0 && ::ftruncate(all_[3], kArea) == 0);
    void* const address = ::mmap(nullptr, kFuzzMemory, PROT_READ | PROT_WRITE, MAP_SHARED, memory(), 0);
    ACRN_CHECK(address != MAP_FAILED);
    bytes_ = static_cast<std::byte*>(address);
    void* const area = ::mmap(nullptr, kArea, PROT_READ | PROT_WRITE, MAP_SHARED, all_[3], 0);
    ACRN_CHECK(area != MAP_FAILED);
    area_ = static_cast<std::byte*>(area);
    const uint64_t most = ~uint64_t{0} - 1;
    ACRN_CHECK(::write(all_[6], &most, sizeof(most)) == sizeof(most) && ::fcntl(all_[6], F_SETFL, O_RDWR) == 0);
  }

  // Memory and area as they were at first: of their size, and zeroes.
  void restore() {
    shrink_memory(kFuzzMemory);
    shrink_area(kArea);
    std::memset(bytes_, 0, kFuzzMemory);
    std::memset(area_, 0, kArea);
  }
  // Their owner writes to them, as far as they go, or makes them shorter.
  void write_memory(size_t at, std::span<const uint8_t> from) { write(memory(), kFuzzMemory, bytes_, at, from); }
  void write_area(size_t at, std::span<const uint8_t> from) { write(all_[3], kArea, area_, at, from); }
  void shrink_memory(size_t size) const { ACRN_CHECK(::ftruncate(memory(), static_cast<off_t>(size)) == 0); }
  void shrink_area(size_t size) const { ACRN_CHECK(::ftruncate(all_[3], static_cast<off_t>(size)) == 0); }

  UniqueFd copy(unsigned kind) const {
    const int fd = kind % 8 == 7 ? pipe_[0] : all_[kind % 8];
    return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  }

 private:
  static constexpr size_t kArea = 4096;  // bytes

  int memory() const { return all_[0]; }

  static void write(int file, size_t size, std::byte* to, size_t at, std::span<const uint8_t> from) {
    ACRN_CHECK(::ftruncate(file, static_cast<off_t>(size)) == 0);
    if (at < size) std::memcpy(to + at, from.data(), std::min(from.size(), size - at));
  }

  std::array<int, 7> all_{::memfd_create("guest", MFD_CLOEXEC),
                          ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                          ::eventfd(0, EFD_CLOEXEC),
                          ::memfd_create("short", MFD_CLOEXEC),
                          ::open("/dev/null", O_RDWR | O_CLOEXEC),
                          ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                          ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};  // full
  int pipe_[2];
  std::byte *bytes_, *area_;
};

inline Descriptors& descriptors() {
  static Descriptors all;
  return all;
}

}  // namespace acrn::test
