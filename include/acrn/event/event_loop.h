// EventLoop: one thread that runs handlers one at a time. A virtqueue lives on one loop and needs no lock.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <utility>

#include "acrn/base/result.h"

namespace acrn {

// A doorbell of a loop. It does not count: any number of notify() before the handler runs are one run of it, and it may
// run once more than that, so a handler looks for work and does not assume any.
// Destroyed on its loop, or when that loop has stopped.
class Notifier {
 public:
  virtual ~Notifier() = default;
  virtual void notify() = 0;   // any thread; no lock, no allocation
  virtual int fd() const = 0;  // an eventfd that has the same effect, for ioeventfd
};

// A descriptor of others that a loop waits for. Destroyed as a Notifier is.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  // On the loop. The events of epoll that the handler is told of; 0 for none.
  virtual void set_events(uint32_t events) = 0;
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
  // Whether the loop should look again and again for a while before it sleeps. One that is busy looks in any case.
  virtual bool wants_polling() const = 0;
  // The loop is about to sleep, so from now on new work has to notify it. True: there is work already.
  virtual bool prepare_sleep() = 0;

 protected:
  ~Poller() = default;
};

// Work for a loop's thread, in memory of its own, so that to post it cannot fail. It lives until run() has been called,
// and may end in there.
class LoopTask {
 public:
  virtual void run() = 0;

 protected:
  ~LoopTask() = default;

 private:
  friend class LoopTasks;
  LoopTask* next_ = nullptr;  // while it waits
};

// Tasks in the order in which they came. Its user locks.
class LoopTasks {
 public:
  bool empty() const { return first_ == nullptr; }
  void push(LoopTask& task) {
    task.next_ = nullptr;
    (empty() ? first_ : last_->next_) = &task;
    last_ = &task;
  }
  LoopTask& pop() {
    LoopTask& task = *first_;
    first_ = task.next_;
    return task;
  }

 private:
  LoopTask *first_ = nullptr, *last_ = nullptr;
};

template <class Work>
class LoopTaskOf final : public LoopTask {
 public:
  explicit LoopTaskOf(Work work) : work_(std::move(work)) {}
  void run() override { work_(); }

 private:
  Work work_;
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
  // A loop may be made without a thread. Then whoever posts a task runs it, and nothing else runs, until this has
  // started one. Any thread, also several at once; again: nothing. Errors: kInternal.
  virtual Result<void> start() { return {}; }
  // Any thread; tasks run in order, all that come before the loop's end. No allocation.
  virtual void enqueue(LoopTask& task) = 0;
  // `handler` runs on the loop. Any thread. Fails when the process is out of descriptors.
  virtual Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) = 0;
  // The same for what a borrower may do, see try_borrow(): one that has the loop when it is notified does it before it
  // returns the loop, which spares waking the loop's thread. is_borrowed() tells the handler.
  virtual Result<std::unique_ptr<Notifier>> make_short_notifier(std::function<void()> handler) {
    return make_notifier(std::move(handler));
  }
  // The same; the timer is not started.
  virtual Result<std::unique_ptr<Timer>> make_timer(std::function<void()> handler) = 0;

  // Runs the handler on the loop with the events of epoll that came, for as long as they last, or with EPOLLET when
  // they come. The caller keeps `fd` open. On the loop. Null: it is no descriptor to wait for, like a regular file.
  virtual std::unique_ptr<FdWatch> watch(int fd, uint32_t events, std::function<void(uint32_t)> handler) = 0;
  // The same after signals of an eventfd, also after those that came before. It is not read: its counter only grows.
  std::unique_ptr<FdWatch> watch_event(int fd, std::function<void()> handler) {
    return watch(fd, EPOLLIN | EPOLLET, [handler = std::move(handler)](uint32_t) { handler(); });
  }

  // A loop that has been busy polls before it sleeps. False: this one never polls, and work always has to notify it.
  // Both on the loop.
  virtual bool add_poller(Poller&) { return false; }
  virtual void remove_poller(Poller&) {}

  // Borrows a loop that sleeps: while the lease lives, the calling thread is the loop, and what runs on the loop may
  // run here, which saves waking it. For short work that waits for nothing, and ends nothing that lives on the loop.
  // Any thread; takes no lock. An empty lease: the loop is awake, is borrowed already, or does not allow it.
  virtual LoopLease try_borrow() { return {}; }
  // Whether the calling thread is a borrower. On the loop.
  virtual bool is_borrowed() const { return false; }

  // The same for work that the loop keeps and ends.
  void post(std::function<void()> work) { enqueue(*new OwnTask(std::move(work))); }

  // Runs the work on the loop and returns when it is done. The caller holds no lock that it takes. No allocation.
  template <class Work>
  void run(const Work& work) {
    if (is_current()) return work();
    std::latch done(1);
    LoopTaskOf task([&] {
      work();
      done.count_down();
    });
    enqueue(task);
    done.wait();
  }

 protected:
  // For try_borrow(): a lease at whose end return_loop() is called, on the borrowing thread.
  LoopLease lease() { return LoopLease(*this); }

 private:
  friend class LoopLease;
  virtual void return_loop() {}

  class OwnTask final : public LoopTask {
   public:
    explicit OwnTask(std::function<void()> work) : work_(std::move(work)) {}
    void run() override {
      const std::unique_ptr<OwnTask> end(this);
      work_();
    }

   private:
    std::function<void()> work_;
  };
};

inline LoopLease::~LoopLease() {
  if (loop_ != nullptr) loop_->return_loop();
}

}  // namespace acrn
