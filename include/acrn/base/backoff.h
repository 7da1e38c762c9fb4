// Backoff: after an attempt that did not pay some are left out, each time twice as many. No lock, and no clock.
#pragma once

#include <algorithm>

namespace acrn {

class Backoff {
 public:
  // `most`: attempts that are left out at a time.
  explicit Backoff(unsigned most) : most_(most) {}

  // Whether to leave this attempt out.
  bool skips() {
    if (skip_ == 0) return false;
    skip_--;
    return true;
  }
  // Of an attempt that was not left out.
  void record(bool paid) { length_ = skip_ = paid ? 0 : std::min(2 * length_ + 1, most_); }

 private:
  const unsigned most_;
  unsigned length_ = 0, skip_ = 0;  // of attempts
};

}  // namespace acrn
