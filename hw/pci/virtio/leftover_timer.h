// LeftoverTimer: serves what a kick has left in the ring, in case that the driver does not kick again (docs/adr/0021).
// To set a timer costs some microseconds, so a kick that finds it armed leaves it as it is; if kicks came since it was
// armed, it starts again when it expires. On the queue's loop.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "acrn/event/event_loop.h"

namespace acrn {

class LeftoverTimer {
 public:
  static constexpr uint64_t kLeftoverTimeout = 200'000;  // nanoseconds

  // `timer`: its handler asks should_serve_on_expiry().
  void set_timer(std::unique_ptr<Timer> timer) { timer_ = std::move(timer); }
  void close() { timer_.reset(); }

  // A turn has left chains in the ring to the next kick.
  void arm() {
    if (state_ != State::kIdle) {
      state_ = State::kKickedSinceArmed;
      return;
    }
    state_ = State::kArmed;
    timer_->start_once(kLeftoverTimeout);
  }

  // The timer has expired; `chains_wait`: there are chains to be served. True: nobody else serves them.
  bool should_serve_on_expiry(bool chains_wait) {
    const bool kicked = std::exchange(state_, State::kIdle) == State::kKickedSinceArmed;
    if (!chains_wait) return false;
    if (kicked) arm();
    return !kicked;
  }

 private:
  enum class State : uint8_t { kIdle, kArmed, kKickedSinceArmed };

  std::unique_ptr<Timer> timer_;
  State state_ = State::kIdle;
};

}  // namespace acrn
