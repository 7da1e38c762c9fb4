// PollWindow: how long a loop polls before it sleeps. It learns from the waits that ended in a sleep: a short one would
// have been cheaper as a poll, a long one would not (docs/adr/0018, 0033). It has no clock of its own. Used by its
// loop.
#pragma once

#include <algorithm>
#include <chrono>

namespace acrn {

class PollWindow {
 public:
  using Duration = std::chrono::nanoseconds;

  static constexpr Duration kShortest = std::chrono::microseconds(20);  // a shorter poll is not worth its look

  // 0: the loop never polls.
  explicit PollWindow(Duration longest) : longest_(longest) {}

  bool may_poll() const { return longest_ != Duration::zero(); }
  // How long to poll now; 0 for not at all.
  Duration length() const { return length_; }
  // Of a sleep, with the poll before it.
  void record_wait(Duration waited) {
    if (waited < longest_) {
      length_ = std::clamp(2 * length_, kShortest, std::max(kShortest, longest_));
    } else {
      length_ = length_ / 2 < kShortest ? Duration::zero() : length_ / 2;
    }
  }

 private:
  const Duration longest_;
  Duration length_{0};
};

}  // namespace acrn
