// EpollLoop: an EventLoop on its own thread, which sleeps in epoll_wait. Created and destroyed by the thread that
// composes the program. Everything that lives on the loop is destroyed before the loop.
//
// To wake a thread costs both sides more than most of what these loops do. So a loop that is awake is not told by the
// eventfds of its notifiers but finds them in a queue; and a loop that polls stays awake for a short time after work,
// as long as that has paid lately (docs/adr/0018). The parts: LoopOwner knows which thread is the loop, NotifierQueue
// what was notified, EpollSet what the kernel tells of, PollWindow how long to poll.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/event/event_loop.h"
#include "dm/base/thread.h"
#include "dm/event/epoll_notifier.h"
#include "dm/event/epoll_set.h"
#include "dm/event/epoll_watch.h"
#include "dm/event/loop_owner.h"
#include "dm/event/notifier_queue.h"
#include "dm/event/poll_window.h"

namespace acrn {

// How a loop waits.
struct LoopOptions {
  std::chrono::nanoseconds longest_poll{0};  // before it sleeps; 0: it never polls
  bool allow_borrow = false;                 // by others while it sleeps, see EventLoop::try_borrow()
  bool start_late = false;                   // by start(); one that is pinned starts at once
  Thread::Kind kind = Thread::Kind::kControl;
};

class EpollLoop final : public EventLoop {
 public:
  // `name` names the thread (15 characters are shown); `cpus`: host CPUs to run on, empty for any.
  static Result<std::unique_ptr<EpollLoop>> create(const std::string& name, const std::vector<unsigned>& cpus,
                                                   const LoopOptions& options = {});
  ~EpollLoop() override;

  bool is_current() const override { return owner_.is_current(); }
  Result<void> start() override;
  void enqueue(LoopTask& task) override;
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) override;
  Result<std::unique_ptr<Notifier>> make_short_notifier(std::function<void()> handler) override;
  Result<std::unique_ptr<Timer>> make_timer(std::function<void()> handler) override;
  std::unique_ptr<FdWatch> watch(int fd, uint32_t events, std::function<void(uint32_t)> handler) override;
  LoopLease try_borrow() override;
  bool is_borrowed() const override { return owner_.is_borrowed(); }
  bool add_poller(Poller& poller) override;
  void remove_poller(Poller& poller) override;

 private:
  using Clock = std::chrono::steady_clock;

  EpollLoop(const std::string& name, const LoopOptions& options)
      : name_(name), kind_(options.kind), allow_borrow_(options.allow_borrow), poll_window_(options.longest_poll) {}
  Result<void> start_thread(Thread::Inherit inherit);
  Result<std::unique_ptr<EpollNotifier>> make(std::function<void()> handler, Work work);
  void return_loop() override;
  void end_borrow();
  void run_without_thread();
  void serve();
  bool run_pollers();
  bool any_wants_polling() const;
  bool poll_for_a_while();
  bool may_sleep();
  void sleep();
  bool has_posted();
  bool run_posted();

  const std::string name_;
  const Thread::Kind kind_;
  const bool allow_borrow_;
  LoopOwner owner_;
  NotifierQueue notified_, short_work_;
  EpollSet epoll_{owner_};
  std::vector<Poller*> pollers_;
  PollWindow poll_window_;
  std::optional<Clock::time_point> idle_since_;  // since a poll that found nothing began
  std::unique_ptr<EpollNotifier> posted_notifier_;
  Mutex mutex_;  // leaf; held while the thread is started
  LoopTasks posted_ ACRN_GUARDED_BY(mutex_);
  std::atomic<bool> started_{false};  // there is a thread, or will be in a moment
  bool stopping_ = false;             // its own thread only
  Thread thread_;
};

}  // namespace acrn
