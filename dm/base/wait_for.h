// Waits for a descriptor, until a time, or until another one says that it is no longer worth it.
#pragma once

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace acrn {

// What of `events` is there. 0: the time is up, `cancel` can be read, or poll() failed. A descriptor of -1 is not
// waited for.
inline short wait_for(int fd, short events, int cancel, std::chrono::steady_clock::time_point end) {
  std::array<pollfd, 2> wanted{{{fd, events, 0}, {cancel, POLLIN, 0}}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    const int ready = ::poll(wanted.data(), wanted.size(), static_cast<int>(std::max<long>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    return ready <= 0 || wanted[1].revents != 0 ? short{0} : wanted[0].revents;
  }
}

}  // namespace acrn
