// TokenBucket: how much of something may pass in a second, and how much may be saved up while nobody asks for it. It
// has no clock of its own. Its user locks.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "acrn/block/disk_limits.h"

namespace acrn {

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  // What comes in this time is kept beyond the burst while somebody waits: he looks again a bit late.
  static constexpr double kLateness = 0.1;  // seconds

  // From now on. What is there, or is owed, stays as far as it fits.
  void set(const RateLimit& limit, Time now) {
    refill(now, true);
    const bool was_off = rate_ == 0;
    rate_ = static_cast<double>(limit.rate);
    const double burst = limit.burst != 0 ? static_cast<double>(limit.burst) : rate_ / DiskLimits::kDefaultBurst;
    burst_ = std::max(burst, 1.0);
    level_ = was_off ? burst_ : std::min(level_, burst_);
  }

  // Before the others: what has come by now. `waited`: somebody has waited for it since the last time.
  void refill(Time now, bool waited) {
    const double seconds = std::max(0.0, std::chrono::duration<double>(now - refilled_).count());
    refilled_ = std::max(now, refilled_);
    if (rate_ == 0) return;
    level_ = std::min(level_ + seconds * rate_, burst_ + (waited ? kLateness * rate_ : 0));
  }
  // How long until `cost` may pass; 0: now. More than the burst passes when that much is there, and is owed then.
  Duration wait(double cost) const {
    const double missing = std::min(cost, burst_) - level_;
    if (rate_ == 0 || missing <= 0) return Duration::zero();
    return std::chrono::ceil<Duration>(std::chrono::duration<double>(std::min(missing / rate_, kLongestWait)));
  }
  void take(double cost) { level_ -= cost; }
  // Which part of a second's worth it is.
  double share(double cost) const { return rate_ == 0 ? 0 : cost / rate_; }

 private:
  static constexpr double kLongestWait = 3600;  // seconds

  double rate_ = 0;   // a second; 0: no limit
  double burst_ = 1;  // the most that is saved up
  double level_ = 0;  // negative: owed
  Time refilled_{};
};

}  // namespace acrn
