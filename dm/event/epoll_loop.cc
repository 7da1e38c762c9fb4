#include "dm/event/epoll_loop.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/event/epoll_notifier.h"
#include "dm/event/epoll_timer.h"

namespace acrn {
namespace {

// How many rounds of a loop that is busy or polls there are for each look at what only the kernel tells of.
constexpr unsigned kRoundsPerLook = 32;
// How often a borrower does the short work that came meanwhile. It may be a virtual CPU.
constexpr unsigned kMostCalls = 2;

}  // namespace

Result<std::unique_ptr<EpollLoop>> EpollLoop::create(const std::string& name, const std::vector<unsigned>& cpus,
                                                     const LoopOptions& options) {
  LoopOptions possible = options;
  // A host with one CPU needs it for the thread that would bring work.
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) possible.longest_poll = {};
  std::unique_ptr<EpollLoop> loop(new EpollLoop(name, possible));
  if (!loop->epoll_.open()) {
    return Error{ErrorKind::kInternal, concat("event loop ", name, ": epoll_create1: ", errno_text(errno))};
  }
  auto notifier = loop->make([raw = loop.get()] { raw->run_posted(); }, Work::kAny);
  if (!notifier) return notifier.error();
  loop->posted_notifier_ = std::move(notifier).value();
  if (options.start_late && cpus.empty()) {
    loop->owner_.sleep();
    return loop;
  }
  if (auto started = loop->start_thread(Thread::Inherit::kStarter); !started) return started.error();
  if (!cpus.empty() && !loop->thread_.pin(cpus)) {
    return Error{ErrorKind::kUsage,
                 concat("iothread ", name, ": the host CPUs asked for cannot be used: ", errno_text(errno))};
  }
  return loop;
}

Result<void> EpollLoop::start() {
  if (started_) return {};
  MutexLock lock(mutex_);
  return started_ ? Result<void>() : start_thread(Thread::Inherit::kProcess);
}

Result<void> EpollLoop::start_thread(Thread::Inherit inherit) {
  auto started = thread_.start(
      name_, [this] { serve(); }, inherit, kind_);
  if (started) started_ = true;  // what was posted before and not run is the thread's
  return started;
}

EpollLoop::~EpollLoop() {
  if (!thread_.joinable()) {
    owner_.stop();
    return;
  }
  ACRN_CHECK(!is_current());
  LoopTaskOf stop([this] { stopping_ = true; });
  enqueue(stop);
  thread_.join();
}

LoopLease EpollLoop::try_borrow() { return allow_borrow_ && owner_.try_borrow() ? lease() : LoopLease(); }

void EpollLoop::enqueue(LoopTask& task) {
  {
    MutexLock lock(mutex_);
    posted_.push(task);
  }
  if (!started_) run_without_thread();
  posted_notifier_->notify();
}

void EpollLoop::return_loop() {
  end_borrow();
  if (!started_) run_without_thread();
}

void EpollLoop::end_borrow() {
  for (unsigned calls = 0; !owner_.end_borrow(); calls++) {
    if (started_ && calls < kMostCalls) {
      short_work_.run_all();
    } else {
      posted_notifier_->wake();
    }
  }
}

// What others post meanwhile is left to the one that has the loop, which looks once more when it no longer has it.
void EpollLoop::run_without_thread() {
  while (has_posted() && owner_.try_borrow()) {
    run_posted();
    end_borrow();
  }
}

bool EpollLoop::has_posted() {
  MutexLock lock(mutex_);
  return !posted_.empty();
}

Result<std::unique_ptr<Notifier>> EpollLoop::make_notifier(std::function<void()> handler) {
  auto made = make(std::move(handler), Work::kAny);
  if (!made) return made.error();
  return std::unique_ptr<Notifier>(std::move(made).value());
}

Result<std::unique_ptr<Notifier>> EpollLoop::make_short_notifier(std::function<void()> handler) {
  auto made = make(std::move(handler), Work::kShort);
  if (!made) return made.error();
  return std::unique_ptr<Notifier>(std::move(made).value());
}

Result<std::unique_ptr<EpollNotifier>> EpollLoop::make(std::function<void()> handler, Work work) {
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return Error{ErrorKind::kInternal, concat("event loop: eventfd: ", errno_text(errno))};
  auto notifier = std::make_unique<EpollNotifier>(owner_, epoll_, work == Work::kShort ? short_work_ : notified_, work,
                                                  std::move(event), std::move(handler));
  if (!notifier->add_to_set()) {
    return Error{ErrorKind::kInternal, concat("event loop: epoll_ctl: ", errno_text(errno))};
  }
  return notifier;
}

Result<std::unique_ptr<Timer>> EpollLoop::make_timer(std::function<void()> handler) {
  UniqueFd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return Error{ErrorKind::kInternal, concat("event loop: timerfd_create: ", errno_text(errno))};
  auto timer = std::make_unique<EpollTimer>(epoll_, std::move(fd), std::move(handler));
  if (!timer->add_to_set()) return Error{ErrorKind::kInternal, concat("event loop: epoll_ctl: ", errno_text(errno))};
  return std::unique_ptr<Timer>(std::move(timer));
}

std::unique_ptr<FdWatch> EpollLoop::watch(int fd, uint32_t events, std::function<void(uint32_t)> handler) {
  auto watch = std::make_unique<EpollWatch>(epoll_, fd, std::move(handler));
  if (!watch->add_to_set(events)) return nullptr;
  return watch;
}

bool EpollLoop::add_poller(Poller& poller) {
  ACRN_CHECK(is_current());
  if (!poll_window_.may_poll()) return false;
  pollers_.push_back(&poller);
  return true;
}

void EpollLoop::remove_poller(Poller& poller) { std::erase(pollers_, &poller); }

void EpollLoop::serve() {
  owner_.start();
  for (unsigned round = 1; !stopping_; round++) {
    const bool any = notified_.run_all(), any_short = short_work_.run_all(), polled = run_pollers();
    if (round % kRoundsPerLook == 0) epoll_.run(epoll_.wait(0));
    if (!any && !any_short && !polled && !poll_for_a_while() && may_sleep()) sleep();
  }
  while (run_posted()) {
  }
  owner_.stop();
}

bool EpollLoop::run_pollers() {
  bool any = false;
  for (size_t i = 0; i < pollers_.size(); i++) any |= pollers_[i]->poll();
  return any;
}

// True: there is something to do.
bool EpollLoop::poll_for_a_while() {
  idle_since_.reset();
  if (poll_window_.length() == PollWindow::Duration::zero()) return false;
  idle_since_ = Clock::now();
  const auto end = *idle_since_ + poll_window_.length();
  for (unsigned round = 1; any_wants_polling() && Clock::now() < end; round++) {
    if (notified_.seems_to_have_entries() || short_work_.seems_to_have_entries() || run_pollers()) return true;
    if (const int count = round % kRoundsPerLook == 0 ? epoll_.wait(0) : 0; count > 0) {
      epoll_.run(count);
      return true;
    }
    sched_yield();  // a thread that has work runs first
  }
  return false;
}

bool EpollLoop::any_wants_polling() const {
  return std::any_of(pollers_.begin(), pollers_.end(), [](const Poller* poller) { return poller->wants_polling(); });
}

// The last look for work. Whatever comes after it wakes the loop. False: there is something to do.
bool EpollLoop::may_sleep() {
  owner_.announce_sleep();
  bool found = notified_.has_entries() || short_work_.has_entries();
  for (Poller* poller : pollers_) found |= poller->prepare_sleep() && poller->poll();
  if (found) owner_.stay_awake();
  return !found;
}

void EpollLoop::sleep() {
  const auto before = idle_since_.value_or(Clock::now());
  owner_.sleep();
  const int count = epoll_.wait(-1);
  owner_.wake();
  epoll_.run(count);
  if (!pollers_.empty()) poll_window_.record_wait(Clock::now() - before);
}

// What they post waits for the next call. False: there were none.
bool EpollLoop::run_posted() {
  LoopTasks tasks;
  {
    MutexLock lock(mutex_);
    tasks = std::exchange(posted_, {});
  }
  const bool any = !tasks.empty();
  while (!tasks.empty()) tasks.pop().run();
  return any;
}

}  // namespace acrn
