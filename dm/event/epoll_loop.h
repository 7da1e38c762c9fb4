// EpollLoop: an EventLoop on its own thread, which sleeps in epoll_wait. Created and destroyed by the thread
// that composes the program; everything that lives on the loop is gone before it is.
//
// To wake a thread costs both sides more than most of what these loops do. So a loop that is awake is not told by its
// notifiers' eventfds but finds them on a stack; and one that polls stays awake for a short while after it has had
// something to do, if that has paid lately (docs/adr/0018).
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"
#include "dm/base/thread.h"

namespace acrn {

// A descriptor that the loop looks at. Destroyed on its loop, or when that no longer runs.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  // Epoll's level-triggered events to be told of; 0 for none. On the loop.
  virtual void set_events(uint32_t events) = 0;
};

// How a loop waits.
struct LoopHabits {
  std::chrono::nanoseconds longest_poll{0};  // before it sleeps; 0: it never polls
  bool lends = false;                        // itself to others while it sleeps, see EventLoop::try_enter()
};

class EpollLoop final : public EventLoop {
 public:
  // `name` names the thread (15 characters are shown); `cpus`: host CPUs to run on, empty for any.
  static Result<std::unique_ptr<EpollLoop>> create(const std::string& name, const std::vector<unsigned>& cpus,
                                                   const LoopHabits& habits = {});
  ~EpollLoop() override;

  bool is_current() const override;
  void post(std::function<void()> task) override;
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) override;
  Result<std::unique_ptr<Timer>> make_timer(uint64_t nanoseconds, std::function<void()> handler) override;
  Result<std::unique_ptr<Alarm>> make_alarm(std::function<void()> handler) override;
  // `handler` runs on the loop with the events that came. The caller keeps `fd` open. Nothing: epoll does not take
  // this kind of descriptor (a regular file), which is always ready.
  bool try_enter() override;
  void leave() override;
  bool add_poller(Poller& poller) override;
  void remove_poller(Poller& poller) override;
  std::unique_ptr<FdWatch> watch(int fd, uint32_t events, std::function<void(uint32_t)> handler);

 private:
  class Source;
  class EpollNotifier;
  class EpollTimer;
  class EpollWatch;

  using Clock = std::chrono::steady_clock;

  explicit EpollLoop(const LoopHabits& habits) : habits_(habits) {}
  Result<std::unique_ptr<EpollTimer>> make_stopped_timer(std::function<void()> handler);
  void serve();
  void take_notified();
  bool run_notified();
  bool run_pollers();
  bool polling_pays() const;
  bool poll_for_a_while();
  void sleep();
  int await_events(int timeout);
  void run_events(int count);
  void run_posted();

  const LoopHabits habits_;
  UniqueFd epoll_;
  std::array<epoll_event, 32> events_;
  struct Ready {
    Source* source;
    uint32_t events;
  };
  std::vector<Ready> ready_;         // of the epoll_wait being served; sources take themselves out
  std::atomic<bool> asleep_{false};  // or about to be: who notifies writes to the eventfd
  // Who holds it is the loop: its thread, but while that sleeps.
  std::atomic<bool> turn_{true};
  const EpollLoop* lender_ = nullptr;              // what the borrowing thread is a loop's itself; while lent
  std::atomic<EpollNotifier*> notified_{nullptr};  // a stack; whole stacks are taken off, so no ABA
  std::vector<EpollNotifier*> running_;            // taken off it, to be run; notifiers take themselves out
  std::vector<Poller*> pollers_;
  Clock::duration window_{};  // how long it polls after work; as long as that pays
  std::unique_ptr<Notifier> posted_notifier_;
  Mutex mutex_;  // leaf
  std::vector<std::function<void()>> posted_ ACRN_GUARDED_BY(mutex_);
  bool stopping_ = false;  // its own thread only
  Thread thread_;
};

}  // namespace acrn
