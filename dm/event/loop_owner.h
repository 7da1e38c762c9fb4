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
//   kBorrowed ---- announce_work -> kCalled            short work came, which the borrower does before it goes:
//   kCalled ------ end_borrow ----> kBorrowed          it is told so, and ends once more when that is done
//   kAsleep ------- wake ---------> kAwake
//   kBorrowed ----- wake ---------> kWaking            the loop's thread is up and waits for the borrower,
//   kCalled ------- wake ---------> kWaking            does what that one has not begun,
//   kWaking ------ end_borrow ----> kAwake             and need not wait any longer
//   kAwake -------- stop ---------> kStopped           the loop's thread ends
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "acrn/base/check.h"

namespace acrn {

// What a notification is for: short work may be done by a borrower (EventLoop::make_short_notifier).
enum class Work : uint8_t { kAny, kShort };

class LoopOwner {
 public:
  // Any thread. Whether the calling thread is the loop.
  bool is_current() const { return current_ == this; }
  // Any thread, after it has queued work. True: the loop's thread has to be woken for it. False: somebody who is awake
  // will look at the queue. This load, and the store of the work before it, pair with announce_sleep() and the look at
  // the queue after it, and with end_borrow() that returns false and the look after that: sequentially consistent all,
  // so either this sees the state, or the other one sees the work. What a borrower itself announces is for the thread.
  bool announce_work(Work work) {
    State seen = state_.load();
    if (work == Work::kShort && !is_current()) {
      while (seen == State::kBorrowed && !state_.compare_exchange_weak(seen, State::kCalled)) {
      }
      if (seen == State::kBorrowed || seen == State::kCalled) return false;
    }
    return seen != State::kStopped && seen != State::kAwake && seen != State::kWaking;
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
    while (!state_.compare_exchange_weak(seen, seen == State::kAsleep ? State::kAwake : State::kWaking,
                                         std::memory_order_acquire)) {
    }
    if (seen != State::kAsleep) state_.wait(State::kWaking, std::memory_order_acquire);
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
    return state == State::kBorrowed || state == State::kCalled || state == State::kWaking;
  }
  // The thread that has borrowed the loop. False: it still has, and short work came. Otherwise nothing of the loop is
  // touched any more.
  bool end_borrow() {
    const LoopOwner* const previous = previous_loop_;
    State seen = State::kBorrowed;
    if (!state_.compare_exchange_strong(seen, State::kAsleep, std::memory_order_release, std::memory_order_relaxed)) {
      if (seen == State::kCalled && state_.compare_exchange_strong(seen, State::kBorrowed)) return false;
      // Not a plain store: notify_one() looks for sleepers by a load, which could overtake it.
      state_.exchange(State::kAwake);
      state_.notify_one();
    }
    current_ = previous;
    return true;
  }

 private:
  // As wide as a futex, so that a wait for it needs nothing else.
  enum class State : int { kStopped, kAwake, kFallingAsleep, kAsleep, kBorrowed, kCalled, kWaking };

  // The loop that the calling thread is.
  static inline constinit thread_local const LoopOwner* current_ = nullptr;

  std::atomic<State> state_{State::kStopped};
  const LoopOwner* previous_loop_ = nullptr;  // which loop the borrowing thread is when it does not borrow this one
};

}  // namespace acrn
