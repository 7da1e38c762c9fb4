// Eventfds, as a host has them.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>

#include "acrn/base/unique_fd.h"
#include "tests/support/test.h"

namespace acrn::test {

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

}  // namespace acrn::test
