// EventFd: an eventfd of a test's, and how many descriptors are open.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <iterator>

#include "acrn/base/unique_fd.h"
#include "tests/support/test.h"

namespace acrn::test {

class EventFd {
 public:
  int fd() const { return fd_.fd(); }
  void signal() const {
    const uint64_t one = 1;
    EXPECT(::write(fd(), &one, sizeof(one)) == sizeof(one));
  }
  // Signals since the last call.
  uint64_t count() const {
    uint64_t signals = 0;
    return ::read(fd(), &signals, sizeof(signals)) == sizeof(signals) ? signals : 0;
  }

 private:
  UniqueFd fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

inline size_t open_fds() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

}  // namespace acrn::test
