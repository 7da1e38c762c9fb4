// EventLoop: one thread that runs handlers one at a time. A virtqueue lives on one loop and needs no lock.
#pragma once

#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <utility>

#include "acrn/base/result.h"

namespace acrn {

// A doorbell of a loop. It does not count: any number of notify() before the handler runs are one run of it.
// Destroyed on its loop, or when that loop has stopped.
class Notifier {
 public:
  virtual ~Notifier() = default;
  virtual void notify() = 0;   // any thread; no lock, no allocation
  virtual int fd() const = 0;  // an eventfd that has the same effect, for ioeventfd
};

// Runs its handler at times. Destroyed as a Notifier is. Any thread may start it; a start replaces an earlier one.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void start_once(uint64_t nanoseconds) = 0;      // one run, so long from now
  virtual void start_periodic(uint64_t nanoseconds) = 0;  // runs so far apart, the first one so long from now
};

// Work that shows in memory, so that a loop can find it without a notification. On the loop.
class Poller {
 public:
  // Does the work that there is. True: there was some.
  virtual bool poll() = 0;
  // Whether a notification would cost more than to look again.
  virtual bool wants_polling() const = 0;
  // The loop is about to sleep, so from now on new work has to notify it. True: there is work already.
  virtual bool prepare_sleep() = 0;

 protected:
  ~Poller() = default;
};

class EventLoop;

// A loop that was borrowed, see EventLoop::try_borrow(). Returns it at its end, on the thread that borrowed it.
class LoopLease {
 public:
  LoopLease() = default;  // empty: nothing was borrowed
  LoopLease(LoopLease&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)) {}
  ~LoopLease();

  explicit operator bool() const { return loop_ != nullptr; }

 private:
  friend class EventLoop;
  explicit LoopLease(EventLoop& loop) : loop_(&loop) {}
  EventLoop* loop_ = nullptr;
};

class EventLoop {
 public:
  virtual ~EventLoop() = default;

  virtual bool is_current() const = 0;
  virtual void post(std::function<void()> task) = 0;  // any thread; tasks run in order
  // `handler` runs on the loop. Any thread. Fails when the process is out of descriptors.
  virtual Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) = 0;
  // The same; the timer is not started.
  virtual Result<std::unique_ptr<Timer>> make_timer(std::function<void()> handler) = 0;

  // A loop that has been busy polls before it sleeps. False: this one never polls, and work always has to notify it.
  // Both on the loop.
  virtual bool add_poller(Poller&) { return false; }
  virtual void remove_poller(Poller&) {}

  // Borrows a loop that sleeps: while the lease lives, the calling thread is the loop, and what runs on the loop may
  // run here, which saves waking it. For short work that waits for nothing, and ends nothing that lives on the loop.
  // Any thread; takes no lock. An empty lease: the loop is awake, is borrowed already, or does not allow it.
  virtual LoopLease try_borrow() { return {}; }

  // Runs the task on the loop and returns when it is done. The caller holds no lock that the task takes.
  void run(const std::function<void()>& task) {
    if (is_current()) return task();
    std::latch done(1);
    post([&] {
      task();
      done.count_down();
    });
    done.wait();
  }

 protected:
  // For try_borrow(): a lease at whose end return_loop() is called, on the borrowing thread.
  LoopLease lease() { return LoopLease(*this); }

 private:
  friend class LoopLease;
  virtual void return_loop() {}
};

inline LoopLease::~LoopLease() {
  if (loop_ != nullptr) loop_->return_loop();
}

}  // namespace acrn
