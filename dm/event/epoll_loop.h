// EpollLoop: an EventLoop on its own thread, which sleeps in epoll_wait. Created and destroyed by the thread
// that composes the program; everything that lives on the loop is gone before it is.
#pragma once

#include <atomic>
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

class EpollLoop final : public EventLoop {
 public:
  // `name` names the thread (15 characters are shown); `cpus`: host CPUs to run on, empty for any.
  static Result<std::unique_ptr<EpollLoop>> create(const std::string& name, const std::vector<unsigned>& cpus);
  ~EpollLoop() override;

  bool is_current() const override;
  void post(std::function<void()> task) override;
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) override;
  Result<std::unique_ptr<Timer>> make_timer(uint64_t nanoseconds, std::function<void()> handler) override;
  // `handler` runs on the loop with the events that came. The caller keeps `fd` open. Nothing: epoll does not take
  // this kind of descriptor (a regular file), which is always ready.
  std::unique_ptr<FdWatch> watch(int fd, uint32_t events, std::function<void(uint32_t)> handler);

 private:
  class Source;
  class EpollNotifier;
  class EpollTimer;
  class EpollWatch;

  EpollLoop() = default;
  void serve();
  void run_posted();

  UniqueFd epoll_;
  struct Ready {
    Source* source;
    uint32_t events;
  };
  std::vector<Ready> ready_;  // of the epoll_wait being served; sources take themselves out
  std::unique_ptr<Notifier> posted_notifier_;
  Mutex mutex_;  // leaf
  std::vector<std::function<void()>> posted_ ACRN_GUARDED_BY(mutex_);
  bool stopping_ = false;  // its own thread only
  Thread thread_;
};

}  // namespace acrn
