// EpollWatch: a descriptor of the caller's that an EpollLoop waits for.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "acrn/event/event_loop.h"
#include "dm/event/epoll_set.h"

namespace acrn {

class EpollWatch final : public FdWatch, private EpollSet::Source {
 public:
  EpollWatch(EpollSet& set, int fd, std::function<void(uint32_t)> handler)
      : Source(set), fd_(fd), handler_(std::move(handler)) {}
  ~EpollWatch() override { remove(fd_); }

  // False, with errno: epoll does not take the descriptor.
  bool add_to_set(uint32_t events) { return add(fd_, events); }
  void set_events(uint32_t events) override { change(fd_, events); }

 private:
  void run(uint32_t events) override { handler_(events); }

  const int fd_;
  std::function<void(uint32_t)> handler_;
};

}  // namespace acrn
