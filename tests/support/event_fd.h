// Eventfds of a test's, and how many descriptors are open.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
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

// As a host has them.
inline UniqueFd new_eventfd() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  EXPECT(event);
  return event;
}

inline void signal(const UniqueFd& event) { EXPECT_EQ(::eventfd_write(event.fd(), 1), 0); }

// How often it was signalled since this was asked last.
inline uint64_t take_signals(int event) {
  uint64_t count = 0;
  return ::read(event, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

// Waits for a signal.
inline bool signalled(int event, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
  pollfd wanted{event, POLLIN, 0};
  return ::poll(&wanted, 1, static_cast<int>(patience.count())) == 1 && take_signals(event) != 0;
}

inline size_t open_fds() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

}  // namespace acrn::test
