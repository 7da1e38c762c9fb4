// EpollSet: the descriptors that a loop waits for. A Source is one of them, with what is to happen when it is ready.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "dm/event/loop_owner.h"

namespace acrn {

class EpollSet {
 public:
  class Source {
   public:
    explicit Source(EpollSet& set) : set_(set) {}
    virtual ~Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

   protected:
    // False, with errno: epoll does not take the descriptor.
    bool add(int fd, uint32_t events) { return added_ = control(EPOLL_CTL_ADD, fd, events); }
    bool change(int fd, uint32_t events) { return control(EPOLL_CTL_MOD, fd, events); }
    // On the loop, or when it has stopped; before the descriptor is closed, which others may have a duplicate of.
    void remove(int fd);

   private:
    friend class EpollSet;

    virtual void run(uint32_t events) = 0;
    bool control(int operation, int fd, uint32_t events);

    EpollSet& set_;
    bool added_ = false;
  };

  // The owner outlives the set.
  explicit EpollSet(const LoopOwner& owner) : owner_(owner) { ready_.reserve(events_.size()); }

  // Once, before anything else. False, with errno: there is no epoll.
  bool open();
  // On the loop's own thread. Waits for a ready source up to `timeout` milliseconds, for ever if that is negative;
  // returns how many there are for run().
  int wait(int timeout);
  // On the loop's own thread, after wait(). Runs what it found.
  void run(int count);

 private:
  struct Ready {
    Source* source;
    uint32_t events;
  };

  const LoopOwner& owner_;
  UniqueFd epoll_;
  std::array<epoll_event, 32> events_;
  std::vector<Ready> ready_;  // what run() is at; sources take themselves out
};

}  // namespace acrn
