// LoopOwner: which thread is a loop at the moment. That is the loop's own thread or, while that one sleeps, a thread
// that borrows the loop. One atomic state says it; tests/models/loop.pml is a model of it.
//
//   kStopped ------ start --------> kAwake             the loop's thread begins
//   kStopped ------ sleep --------> kAsleep            it begins later, by wake: until then others borrow the loop
//   kAwake -------- announce_sleep -> kFallingAsleep   from here on a notification has to wake it
//   kFallingAsleep  stay_awake ---> kAwake             the last look at the queue found something
//   kFallingAsleep  sleep --------> kAsleep            it found nothing
//   kAsleep ------- try_borrow ---> kBorrowed          another thread is the loop,
//   kBorrowed ---- end_borrow ----> kAsleep            and no longer is
//   kAsleep ------- wake ---------> kAwake
//   kBorrowed ----- wake ---------> kWaking            the loop's thread is up and waits for the borrower,
//   kWaking ------ end_borrow ----> kAwake             which ends the wait
//   kAwake -------- stop ---------> kStopped           the loop's thread ends
#pragma once

#include <atomic>
#include <utility>

#include "acrn/base/check.h"

namespace acrn {

class LoopOwner {
 public:
  // Any thread. Whether the calling thread is the loop.
  bool is_current() const { return current_ == this; }
  // Any thread. Whether a notification has to wake the loop's thread. This load, and the store of the notification
  // before it, pair with announce_sleep() and the look at the queue after it: sequentially consistent all, so either
  // this sees the sleep, or the loop sees the notification.
  bool has_to_be_woken() const {
    const State state = state_.load();
    return state == State::kFallingAsleep || state == State::kAsleep || state == State::kBorrowed;
  }
  // Any thread. Whether the caller may end what lives on the loop.
  bool is_current_or_stopped() const {
    return is_current() || state_.load(std::memory_order_relaxed) == State::kStopped;
  }

  // On the loop's own thread.
  void start() {
    current_ = this;
    if (state_.load(std::memory_order_relaxed) != State::kStopped) return wake();
    state_.store(State::kAwake, std::memory_order_relaxed);
  }
  void stop() { state_.store(State::kStopped, std::memory_order_relaxed); }
  void announce_sleep() { state_.store(State::kFallingAsleep); }
  void stay_awake() { state_.store(State::kAwake, std::memory_order_relaxed); }
  // From here until wake() returns, others may borrow the loop.
  void sleep() { state_.store(State::kAsleep, std::memory_order_release); }
  // Waits for a borrower. No other begins while it waits.
  void wake() {
    State seen = State::kAsleep;
    while (!state_.compare_exchange_weak(seen, seen == State::kBorrowed ? State::kWaking : State::kAwake,
                                         std::memory_order_acquire)) {
    }
    if (seen == State::kBorrowed) state_.wait(State::kWaking, std::memory_order_acquire);
  }

  // Any other thread. False: the loop is not asleep, or is borrowed already. Takes no lock and does not wait.
  bool try_borrow() {
    State seen = state_.load(std::memory_order_relaxed);
    if (seen != State::kAsleep) return false;
    // Acquire pairs with the release of sleep() and of end_borrow().
    if (!state_.compare_exchange_strong(seen, State::kBorrowed, std::memory_order_acquire, std::memory_order_relaxed))
      return false;
    previous_loop_ = std::exchange(current_, this);
    return true;
  }
  // The thread that is the loop: whether it has borrowed it.
  bool is_borrowed() const {
    const State state = state_.load(std::memory_order_relaxed);
    return state == State::kBorrowed || state == State::kWaking;
  }
  // The thread that has borrowed the loop.
  void end_borrow() {
    current_ = previous_loop_;
    State seen = State::kBorrowed;
    if (state_.compare_exchange_strong(seen, State::kAsleep, std::memory_order_release, std::memory_order_relaxed))
      return;
    // Not a plain store: notify_one() looks for sleepers by a load, which could overtake it.
    state_.exchange(State::kAwake);
    state_.notify_one();
  }

 private:
  // As wide as a futex, so that a wait for it needs nothing else.
  enum class State : int { kStopped, kAwake, kFallingAsleep, kAsleep, kBorrowed, kWaking };

  // The loop that the calling thread is.
  static inline constinit thread_local const LoopOwner* current_ = nullptr;

  std::atomic<State> state_{State::kStopped};
  const LoopOwner* previous_loop_ = nullptr;  // which loop the borrowing thread is when it does not borrow this one
};

}  // namespace acrn
