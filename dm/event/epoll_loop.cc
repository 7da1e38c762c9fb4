#include "dm/event/epoll_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {

// Something in the epoll set.
class EpollLoop::Source {
 public:
  explicit Source(EpollLoop& loop) : loop_(loop) {}
  virtual ~Source() = default;
  virtual void run(uint32_t events) = 0;

 protected:
  bool add(int fd, uint32_t events) { return control(EPOLL_CTL_ADD, fd, events); }
  bool change(int fd, uint32_t events) { return control(EPOLL_CTL_MOD, fd, events); }
  void remove(int fd) {
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
};

class EpollLoop::EpollNotifier final : public Notifier, public Source {
 public:
  EpollNotifier(EpollLoop& loop, UniqueFd event, std::function<void()> handler)
      : Source(loop), event_(std::move(event)), handler_(std::move(handler)) {}
  ~EpollNotifier() override { remove(event_.fd()); }

  bool start() { return add(event_.fd(), EPOLLIN | EPOLLET); }
  void notify() override {
    // Whoever turns the flag on writes; the handler's run turns it off before it looks for work, so nothing
    // that was made visible before notify() is missed. Pairs with the exchange in run().
    if (armed_.exchange(true, std::memory_order_acq_rel)) return;
    const uint64_t one = 1;
    // The counter cannot overflow in our lifetime, and then the fd is readable anyway.
    [[maybe_unused]] const ssize_t written = ::write(event_.fd(), &one, sizeof(one));
  }
  int fd() const override { return event_.fd(); }

  void run(uint32_t) override {
    armed_.exchange(false, std::memory_order_acq_rel);
    handler_();
  }

 private:
  UniqueFd event_;  // edge-triggered: never read, its counter only grows
  std::atomic<bool> armed_{false};
  std::function<void()> handler_;
};

class EpollLoop::EpollTimer final : public Timer, public Source {
 public:
  EpollTimer(EpollLoop& loop, UniqueFd timer, std::function<void()> handler)
      : Source(loop), timer_(std::move(timer)), handler_(std::move(handler)) {}
  ~EpollTimer() override { remove(timer_.fd()); }

  bool start(uint64_t nanoseconds) {
    constexpr uint64_t kSecond = 1'000'000'000;
    const timespec period{static_cast<time_t>(nanoseconds / kSecond), static_cast<long>(nanoseconds % kSecond)};
    const itimerspec setting{period, period};
    return timerfd_settime(timer_.fd(), 0, &setting, nullptr) == 0 && add(timer_.fd(), EPOLLIN);
  }
  void run(uint32_t) override {
    uint64_t expirations;  // a periodic timer is started anew by reading it
    [[maybe_unused]] const ssize_t size = ::read(timer_.fd(), &expirations, sizeof(expirations));
    handler_();
  }

 private:
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

Result<std::unique_ptr<EpollLoop>> EpollLoop::create(const std::string& name, const std::vector<unsigned>& cpus) {
  std::unique_ptr<EpollLoop> loop(new EpollLoop);
  loop->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_) {
    return Error{ErrorKind::kInternal, concat("event loop ", name, ": epoll_create1: ", errno_text(errno))};
  }
  auto notifier = loop->make_notifier([raw = loop.get()] { raw->run_posted(); });
  if (!notifier) return notifier.error();
  loop->posted_notifier_ = std::move(notifier).value();
  if (auto started = loop->thread_.start(name, [raw = loop.get()] { raw->serve(); }); !started) return started.error();
  if (!cpus.empty() && !loop->thread_.pin(cpus)) {
    return Error{ErrorKind::kUsage, concat("iothread ", name, ": the host CPUs asked for cannot be used: ",
                                           errno_text(errno))};
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

bool EpollLoop::is_current() const { return thread_.is_current(); }

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

Result<std::unique_ptr<Timer>> EpollLoop::make_timer(uint64_t nanoseconds, std::function<void()> handler) {
  UniqueFd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return Error{ErrorKind::kInternal, concat("event loop: timerfd_create: ", errno_text(errno))};
  auto timer = std::make_unique<EpollTimer>(*this, std::move(fd), std::move(handler));
  if (!timer->start(nanoseconds)) {
    return Error{ErrorKind::kInternal, concat("event loop: timerfd: ", errno_text(errno))};
  }
  return std::unique_ptr<Timer>(std::move(timer));
}

std::unique_ptr<FdWatch> EpollLoop::watch(int fd, uint32_t events, std::function<void(uint32_t)> handler) {
  auto watch = std::make_unique<EpollWatch>(*this, fd, std::move(handler));
  if (!watch->start(events)) return nullptr;
  return watch;
}

void EpollLoop::serve() {
  std::array<epoll_event, 32> events;
  while (!stopping_) {
    const int count = epoll_wait(epoll_.fd(), events.data(), events.size(), -1);
    if (count < 0) {
      ACRN_CHECK(errno == EINTR);
      continue;
    }
    // A handler may destroy a source that is also in this batch; its destructor clears the entry.
    ready_.clear();
    for (int i = 0; i < count; i++) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      ready_.push_back({static_cast<Source*>(event.data.ptr), event.events});
    }
    for (size_t i = 0; i < ready_.size(); i++) {
      if (ready_[i].source != nullptr) ready_[i].source->run(ready_[i].events);
    }
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
