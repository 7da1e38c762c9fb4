// EpollLoop: an EventLoop on its own thread, which sleeps in epoll_wait. Created and destroyed by the thread
// that composes the program; everything that lives on the loop is gone before it is.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"

namespace acrn {

class EpollLoop final : public EventLoop {
 public:
  // `name` names the thread (15 characters are shown); `cpus`: host CPUs to run on, empty for any.
  static Result<std::unique_ptr<EpollLoop>> create(const std::string& name, const std::vector<unsigned>& cpus);
  ~EpollLoop() override;

  bool is_current() const override;
  void post(std::function<void()> task) override;
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) override;

 private:
  class EpollNotifier;

  EpollLoop() = default;
  void serve();
  void run_posted();

  UniqueFd epoll_;
  std::vector<EpollNotifier*> ready_;  // of the epoll_wait being served; notifiers take themselves out
  std::unique_ptr<Notifier> posted_notifier_;
  Mutex mutex_;  // leaf
  std::vector<std::function<void()>> posted_ ACRN_GUARDED_BY(mutex_);
  bool stopping_ = false;  // its own thread only
  std::thread thread_;
};

}  // namespace acrn
