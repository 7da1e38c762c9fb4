// EpollTimer: a timerfd in a loop's epoll set.
#pragma once

#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"
#include "dm/event/epoll_set.h"

namespace acrn {

class EpollTimer final : public Timer, private EpollSet::Source {
 public:
  EpollTimer(EpollSet& set, UniqueFd timer, std::function<void()> handler)
      : Source(set), timer_(std::move(timer)), handler_(std::move(handler)) {}
  ~EpollTimer() override { remove(timer_.fd()); }

  // False, with errno: epoll does not take the timerfd.
  bool add_to_set() { return add(timer_.fd(), EPOLLIN); }
  void start_once(uint64_t nanoseconds) override { set(nanoseconds, 0); }
  void start_periodic(uint64_t nanoseconds) override { set(nanoseconds, nanoseconds); }

 private:
  void set(uint64_t first, uint64_t period) {
    const itimerspec setting{time_of(period), time_of(first)};
    ACRN_CHECK(timerfd_settime(timer_.fd(), 0, &setting, nullptr) == 0);
  }
  void run(uint32_t) override {
    uint64_t expirations;
    // Nothing can be read if the timer was started again after epoll saw it expire.
    if (::read(timer_.fd(), &expirations, sizeof(expirations)) == sizeof(expirations)) handler_();
  }

  static timespec time_of(uint64_t nanoseconds) {
    constexpr uint64_t kSecond = 1'000'000'000;
    return {static_cast<time_t>(nanoseconds / kSecond), static_cast<long>(nanoseconds % kSecond)};
  }

  UniqueFd timer_;
  std::function<void()> handler_;
};

}  // namespace acrn
