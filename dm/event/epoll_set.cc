#include "dm/event/epoll_set.h"

#include <algorithm>
#include <cerrno>

#include "acrn/base/check.h"

namespace acrn {

void EpollSet::Source::remove(int fd) {
  if (!added_) return;
  ACRN_CHECK(set_.owner_.is_current_or_stopped());
  epoll_ctl(set_.epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
  for (Ready& ready : set_.ready_) {
    if (ready.source == this) ready.source = nullptr;
  }
}

bool EpollSet::Source::control(int operation, int fd, uint32_t events) {
  epoll_event interest{};
  interest.events = events;
  interest.data.ptr = this;
  return epoll_ctl(set_.epoll_.fd(), operation, fd, &interest) == 0;
}

bool EpollSet::open() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  return static_cast<bool>(epoll_);
}

int EpollSet::wait(int timeout) {
  const int count = epoll_wait(epoll_.fd(), events_.data(), static_cast<int>(events_.size()), timeout);
  ACRN_CHECK(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

void EpollSet::run(int count) {
  // A handler may end a source that is also in this batch; remove() clears its entry.
  ready_.clear();
  for (int i = 0; i < count; i++) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    ready_.push_back({static_cast<Source*>(event.data.ptr), event.events});
  }
  for (size_t i = 0; i < ready_.size(); i++) {
    if (ready_[i].source != nullptr) ready_[i].source->run(ready_[i].events);
  }
}

}  // namespace acrn
