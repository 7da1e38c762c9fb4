#include "dm/event/epoll_loop.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {

class EpollLoop::EpollNotifier final : public Notifier {
 public:
  EpollNotifier(EpollLoop& loop, UniqueFd event, std::function<void()> handler)
      : loop_(loop), event_(std::move(event)), handler_(std::move(handler)) {}
  ~EpollNotifier() override {
    ACRN_CHECK(loop_.is_current() || !loop_.thread_.joinable());
    epoll_ctl(loop_.epoll_.fd(), EPOLL_CTL_DEL, event_.fd(), nullptr);
    std::replace(loop_.ready_.begin(), loop_.ready_.end(), this, static_cast<EpollNotifier*>(nullptr));
  }

  void notify() override {
    // Whoever turns the flag on writes; the handler's run turns it off before it looks for work, so nothing
    // that was made visible before notify() is missed. Pairs with the exchange in run().
    if (armed_.exchange(true, std::memory_order_acq_rel)) return;
    const uint64_t one = 1;
    // The counter cannot overflow in our lifetime, and then the fd is readable anyway.
    [[maybe_unused]] const ssize_t written = ::write(event_.fd(), &one, sizeof(one));
  }
  int fd() const override { return event_.fd(); }

  void run() {
    armed_.exchange(false, std::memory_order_acq_rel);
    handler_();
  }

 private:
  EpollLoop& loop_;
  UniqueFd event_;  // edge-triggered: never read, its counter only grows
  std::atomic<bool> armed_{false};
  std::function<void()> handler_;
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
  loop->thread_ = std::thread([raw = loop.get()] { raw->serve(); });
  pthread_setname_np(loop->thread_.native_handle(), name.substr(0, 15).c_str());
  if (!cpus.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned cpu : cpus) CPU_SET(cpu, &set);
    if (const int error = pthread_setaffinity_np(loop->thread_.native_handle(), sizeof(set), &set); error != 0) {
      return Error{ErrorKind::kUsage, concat("iothread ", name, ": the host CPUs asked for cannot be used: ",
                                             errno_text(error))};
    }
  }
  return loop;
}

EpollLoop::~EpollLoop() {
  if (thread_.joinable()) {
    ACRN_CHECK(!is_current());
    post([this] { stopping_ = true; });
    thread_.join();
    thread_ = std::thread();
  }
}

bool EpollLoop::is_current() const { return std::this_thread::get_id() == thread_.get_id(); }

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
  epoll_event interest{};
  interest.events = EPOLLIN | EPOLLET;
  interest.data.ptr = notifier.get();
  if (epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, notifier->fd(), &interest) != 0) {
    return Error{ErrorKind::kInternal, concat("event loop: epoll_ctl: ", errno_text(errno))};
  }
  return std::unique_ptr<Notifier>(std::move(notifier));
}

void EpollLoop::serve() {
  std::array<epoll_event, 32> events;
  while (!stopping_) {
    const int count = epoll_wait(epoll_.fd(), events.data(), events.size(), -1);
    if (count < 0) {
      ACRN_CHECK(errno == EINTR);
      continue;
    }
    // A handler may destroy a notifier that is also in this batch; its destructor clears the entry.
    ready_.clear();
    for (int i = 0; i < count; i++) ready_.push_back(static_cast<EpollNotifier*>(events[static_cast<size_t>(i)].data.ptr));
    for (size_t i = 0; i < ready_.size(); i++) {
      if (ready_[i] != nullptr) ready_[i]->run();
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
