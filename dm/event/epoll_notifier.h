// EpollNotifier: a Notifier of an EpollLoop. A loop that is awake finds it in the queue; one that sleeps is woken by
// its eventfd.
#pragma once

#include <unistd.h>

#include <functional>
#include <utility>

#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"
#include "dm/event/epoll_set.h"
#include "dm/event/loop_owner.h"
#include "dm/event/notifier_queue.h"

namespace acrn {

class EpollNotifier final : public Notifier, private EpollSet::Source {
 public:
  EpollNotifier(LoopOwner& owner, EpollSet& set, NotifierQueue& queue, Work work, UniqueFd event,
                std::function<void()> handler)
      : Source(set), owner_(owner), queue_(queue), work_(work), event_(std::move(event)), entry_(std::move(handler)) {}
  ~EpollNotifier() override {
    remove(event_.fd());
    queue_.remove(entry_);
  }

  // False, with errno: epoll does not take the eventfd.
  bool add_to_set() { return add(event_.fd(), EPOLLIN | EPOLLET); }
  void notify() override {
    if (queue_.push(entry_) && owner_.announce_work(work_)) wake();
  }
  // Any thread. The loop's thread does not sleep on, and runs what is queued.
  void wake() {
    const uint64_t one = 1;
    // The counter cannot overflow in our lifetime, and then the eventfd is readable anyway.
    [[maybe_unused]] const ssize_t written = ::write(event_.fd(), &one, sizeof(one));
  }
  int fd() const override { return event_.fd(); }

 private:
  // The eventfd was written by notify(), and then the entry is queued, or by somebody else.
  void run(uint32_t) override {
    if (!entry_.is_queued()) entry_.run();
  }

  LoopOwner& owner_;
  NotifierQueue& queue_;
  const Work work_;
  UniqueFd event_;  // edge-triggered: it is never read, and its counter only grows
  NotifierQueue::Entry entry_;
};

}  // namespace acrn
