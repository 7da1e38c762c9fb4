#include "dm/event/epoll_loop.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr auto kShortestPoll = std::chrono::microseconds(20);  // a shorter one is none
constexpr unsigned kTurnsPerLook = 32;
constexpr size_t kUsualNotifiers = 256;  // a loop with more of them allocates once

// The loop that this thread is at the moment.
thread_local const EpollLoop* current_loop = nullptr;

}  // namespace

// Something in the epoll set.
class EpollLoop::Source {
 public:
  explicit Source(EpollLoop& loop) : loop_(loop) {}
  virtual ~Source() = default;
  virtual void run(uint32_t events) = 0;

 protected:
  bool add(int fd, uint32_t events) { return added_ = control(EPOLL_CTL_ADD, fd, events); }
  bool change(int fd, uint32_t events) { return control(EPOLL_CTL_MOD, fd, events); }
  void remove(int fd) {
    if (!added_) return;
    ACRN_CHECK(loop_.is_current() || !loop_.thread_.joinable());
    epoll_ctl(loop_.epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
    for (Ready& ready : loop_.ready_) {
      if (ready.source == this) ready.source = nullptr;
    }
  }

 private:
  bool control(int operation, int fd, uint32_t events) {
    epoll_event interest{};
    interest.events = events;
    interest.data.ptr = this;
    return epoll_ctl(loop_.epoll_.fd(), operation, fd, &interest) == 0;
  }
  EpollLoop& loop_;
  bool added_ = false;
};

class EpollLoop::EpollNotifier final : public Notifier, public Source {
 public:
  EpollNotifier(EpollLoop& loop, UniqueFd event, std::function<void()> handler)
      : Source(loop), loop_(loop), event_(std::move(event)), handler_(std::move(handler)) {}
  ~EpollNotifier() override {
    remove(event_.fd());
    if (!armed_) return;
    loop_.take_notified();
    std::replace(loop_.running_.begin(), loop_.running_.end(), this, static_cast<EpollNotifier*>(nullptr));
  }

  bool start() { return add(event_.fd(), EPOLLIN | EPOLLET); }
  void notify() override {
    // Whoever turns the flag on puts it on the stack; the handler's run turns it off before it looks for work, so
    // nothing that was made visible before notify() is missed. Pairs with the exchange in serve().
    if (armed_.exchange(true, std::memory_order_acq_rel)) return;
    next_ = loop_.notified_.load(std::memory_order_relaxed);
    while (!loop_.notified_.compare_exchange_weak(next_, this)) {
    }
    // Sequentially consistent, both: either this sees the loop asleep, or the loop sees the stack, see sleep().
    if (!loop_.asleep_) return;
    const uint64_t one = 1;
    // The counter cannot overflow in our lifetime, and then the fd is readable anyway.
    [[maybe_unused]] const ssize_t written = ::write(event_.fd(), &one, sizeof(one));
  }
  int fd() const override { return event_.fd(); }

  // The eventfd was written: by notify(), and then it is on the stack, or by somebody else.
  void run(uint32_t) override {
    if (!armed_) handler_();
  }
  void serve() {
    armed_.exchange(false, std::memory_order_acq_rel);
    handler_();
  }
  EpollNotifier* next() const { return next_; }

 private:
  EpollLoop& loop_;
  UniqueFd event_;  // edge-triggered: never read, its counter only grows
  std::atomic<bool> armed_{false};
  EpollNotifier* next_ = nullptr;  // while it is on the stack
  std::function<void()> handler_;
};

class EpollLoop::EpollTimer final : public Timer, public Alarm, public Source {
 public:
  EpollTimer(EpollLoop& loop, UniqueFd timer, std::function<void()> handler)
      : Source(loop), timer_(std::move(timer)), handler_(std::move(handler)) {}
  ~EpollTimer() override { remove(timer_.fd()); }

  bool start() { return add(timer_.fd(), EPOLLIN); }
  void set(uint64_t nanoseconds) override { set(nanoseconds, 0); }
  void set(uint64_t first, uint64_t period) {
    const itimerspec setting{time_of(period), time_of(first)};
    ACRN_CHECK(timerfd_settime(timer_.fd(), 0, &setting, nullptr) == 0);
  }
  void run(uint32_t) override {
    uint64_t expirations;  // a periodic timer is started anew by reading it
    // Nothing to read: it was set anew after epoll saw it.
    if (::read(timer_.fd(), &expirations, sizeof(expirations)) == sizeof(expirations)) handler_();
  }

 private:
  static timespec time_of(uint64_t nanoseconds) {
    constexpr uint64_t kSecond = 1'000'000'000;
    return {static_cast<time_t>(nanoseconds / kSecond), static_cast<long>(nanoseconds % kSecond)};
  }

  UniqueFd timer_;
  std::function<void()> handler_;
};

class EpollLoop::EpollWatch final : public FdWatch, public Source {
 public:
  EpollWatch(EpollLoop& loop, int fd, std::function<void(uint32_t)> handler)
      : Source(loop), fd_(fd), handler_(std::move(handler)) {}
  ~EpollWatch() override { remove(fd_); }

  bool start(uint32_t events) { return add(fd_, events); }
  void set_events(uint32_t events) override { change(fd_, events); }
  void run(uint32_t events) override { handler_(events); }

 private:
  const int fd_;
  std::function<void(uint32_t)> handler_;
};

Result<std::unique_ptr<EpollLoop>> EpollLoop::create(const std::string& name, const std::vector<unsigned>& cpus,
                                                     const LoopHabits& habits) {
  LoopHabits possible = habits;
  // Where there is but one CPU, whoever would bring work needs it.
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) possible.longest_poll = {};
  std::unique_ptr<EpollLoop> loop(new EpollLoop(possible));
  loop->running_.reserve(kUsualNotifiers);
  loop->ready_.reserve(loop->events_.size());
  loop->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_) {
    return Error{ErrorKind::kInternal, concat("event loop ", name, ": epoll_create1: ", errno_text(errno))};
  }
  auto notifier = loop->make_notifier([raw = loop.get()] { raw->run_posted(); });
  if (!notifier) return notifier.error();
  loop->posted_notifier_ = std::move(notifier).value();
  if (auto started = loop->thread_.start(name, [raw = loop.get()] { raw->serve(); }); !started) return started.error();
  if (!cpus.empty() && !loop->thread_.pin(cpus)) {
    return Error{ErrorKind::kUsage,
                 concat("iothread ", name, ": the host CPUs asked for cannot be used: ", errno_text(errno))};
  }
  return loop;
}

EpollLoop::~EpollLoop() {
  if (thread_.joinable()) {
    ACRN_CHECK(!is_current());
    post([this] { stopping_ = true; });
    thread_.join();
  }
}

bool EpollLoop::is_current() const { return current_loop == this; }

bool EpollLoop::try_enter() {
  if (!habits_.lends || !asleep_.load(std::memory_order_relaxed)) return false;
  // Pairs with the store in leave() and in sleep().
  if (turn_.exchange(true, std::memory_order_acquire)) return false;
  lender_ = std::exchange(current_loop, this);
  return true;
}

void EpollLoop::leave() {
  current_loop = lender_;
  turn_.store(false, std::memory_order_release);
  turn_.notify_one();
}

void EpollLoop::post(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    posted_.push_back(std::move(task));
  }
  posted_notifier_->notify();
}

Result<std::unique_ptr<Notifier>> EpollLoop::make_notifier(std::function<void()> handler) {
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return Error{ErrorKind::kInternal, concat("event loop: eventfd: ", errno_text(errno))};
  auto notifier = std::make_unique<EpollNotifier>(*this, std::move(event), std::move(handler));
  if (!notifier->start()) {
    return Error{ErrorKind::kInternal, concat("event loop: epoll_ctl: ", errno_text(errno))};
  }
  return std::unique_ptr<Notifier>(std::move(notifier));
}

Result<std::unique_ptr<EpollLoop::EpollTimer>> EpollLoop::make_stopped_timer(std::function<void()> handler) {
  UniqueFd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return Error{ErrorKind::kInternal, concat("event loop: timerfd_create: ", errno_text(errno))};
  auto timer = std::make_unique<EpollTimer>(*this, std::move(fd), std::move(handler));
  if (!timer->start()) return Error{ErrorKind::kInternal, concat("event loop: epoll_ctl: ", errno_text(errno))};
  return timer;
}

Result<std::unique_ptr<Timer>> EpollLoop::make_timer(uint64_t nanoseconds, std::function<void()> handler) {
  auto timer = make_stopped_timer(std::move(handler));
  if (!timer) return timer.error();
  timer.value()->set(nanoseconds, nanoseconds);
  return std::unique_ptr<Timer>(std::move(timer).value());
}

Result<std::unique_ptr<Alarm>> EpollLoop::make_alarm(std::function<void()> handler) {
  auto timer = make_stopped_timer(std::move(handler));
  if (!timer) return timer.error();
  return std::unique_ptr<Alarm>(std::move(timer).value());
}

std::unique_ptr<FdWatch> EpollLoop::watch(int fd, uint32_t events, std::function<void(uint32_t)> handler) {
  auto watch = std::make_unique<EpollWatch>(*this, fd, std::move(handler));
  if (!watch->start(events)) return nullptr;
  return watch;
}

bool EpollLoop::add_poller(Poller& poller) {
  ACRN_CHECK(is_current());
  if (habits_.longest_poll == Clock::duration::zero()) return false;
  pollers_.push_back(&poller);
  return true;
}

void EpollLoop::remove_poller(Poller& poller) { std::erase(pollers_, &poller); }

void EpollLoop::serve() {
  current_loop = this;
  for (unsigned turn = 1; !stopping_; turn++) {
    const bool notified = run_notified(), polled = run_pollers();
    if (turn % kTurnsPerLook == 0)
      run_events(await_events(0));  // what only the kernel tells of has its turn, however busy we are
    if (!notified && !polled && !poll_for_a_while()) sleep();
  }
}

// Puts what was notified behind what is still to be run, in order.
void EpollLoop::take_notified() {
  const size_t before = running_.size();
  for (EpollNotifier* each = notified_.exchange(nullptr); each != nullptr; each = each->next())
    running_.push_back(each);
  std::reverse(running_.begin() + static_cast<ptrdiff_t>(before), running_.end());
}

bool EpollLoop::run_notified() {
  take_notified();
  // A handler may destroy a notifier that is also in here; its destructor clears the entry.
  for (size_t i = 0; i < running_.size(); i++) {
    if (running_[i] != nullptr) running_[i]->serve();
  }
  const bool any = !running_.empty();
  running_.clear();
  return any;
}

bool EpollLoop::run_pollers() {
  bool any = false;
  for (size_t i = 0; i < pollers_.size(); i++) any |= pollers_[i]->pays() && pollers_[i]->poll();
  return any;
}

// True: there is something to do.
bool EpollLoop::poll_for_a_while() {
  if (window_ == Clock::duration::zero()) return false;
  const auto end = Clock::now() + window_;
  while (polling_pays() && Clock::now() < end) {
    if (notified_.load(std::memory_order_relaxed) != nullptr || run_pollers()) return true;
    sched_yield();  // whoever has work has it first
  }
  return false;
}

bool EpollLoop::polling_pays() const {
  return std::any_of(pollers_.begin(), pollers_.end(), [](const Poller* poller) { return poller->pays(); });
}

void EpollLoop::sleep() {
  asleep_ = true;
  bool found = notified_ != nullptr;  // pairs with notify()
  for (Poller* poller : pollers_) found |= poller->rest() && poller->poll();
  if (found) {
    asleep_ = false;
    return;
  }
  turn_.store(false, std::memory_order_release);
  const auto before = Clock::now();
  const int count = await_events(-1);
  asleep_ = false;  // from now on nobody else begins
  while (turn_.exchange(true, std::memory_order_acquire)) turn_.wait(true, std::memory_order_relaxed);
  run_events(count);
  if (pollers_.empty()) return;
  // A short sleep would have been cheaper as a poll, a long one not.
  if (Clock::now() - before < habits_.longest_poll) {
    window_ = std::clamp<Clock::duration>(2 * window_, kShortestPoll, habits_.longest_poll);
  } else {
    window_ = window_ / 2 < kShortestPoll ? Clock::duration::zero() : window_ / 2;
  }
}

// Waits up to `timeout` milliseconds, -1: for ever. Returns how many there are in events_.
int EpollLoop::await_events(int timeout) {
  const int count = epoll_wait(epoll_.fd(), events_.data(), static_cast<int>(events_.size()), timeout);
  ACRN_CHECK(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

void EpollLoop::run_events(int count) {
  // A handler may destroy a source that is also in this batch; its destructor clears the entry.
  ready_.clear();
  for (int i = 0; i < count; i++) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    ready_.push_back({static_cast<Source*>(event.data.ptr), event.events});
  }
  for (size_t i = 0; i < ready_.size(); i++) {
    if (ready_[i].source != nullptr) ready_[i].source->run(ready_[i].events);
  }
}

void EpollLoop::run_posted() {
  std::vector<std::function<void()>> tasks;
  {
    MutexLock lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) task();
}

}  // namespace acrn
