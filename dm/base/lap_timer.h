// LapTimer: how long each of several things took that follow each other, with one look at the clock for each.
#pragma once

#include <chrono>
#include <utility>

namespace acrn {

class LapTimer {
 public:
  using Clock = std::chrono::steady_clock;

  void start() { last_ = Clock::now(); }
  // Since start() or the last call.
  Clock::duration lap() {
    const auto now = Clock::now();
    return now - std::exchange(last_, now);
  }
  // When lap() was called last.
  Clock::time_point last() const { return last_; }

 private:
  Clock::time_point last_ = Clock::now();
};

}  // namespace acrn
