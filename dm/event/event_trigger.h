// EventTrigger: signals a peer's eventfd, and never waits for the peer. A write to an eventfd does that
// when the peer has filled its counter, and O_NONBLOCK is the peer's to take away; so the kernel itself signals it, as
// the completion event of an io_uring that completes nothing but NOPs (docs/adr/0014).
#pragma once

#include <memory>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

// By the descriptor's link in /proc.
bool is_eventfd(int fd);
// Of a UNIX stream socket of a pair: makes it one that is only sent to. False: it is none, or something waits in it. A
// client's own end of its connection must not stay with us, since that would keep the connection, neither as the socket
// nor in its queue. One that has connected to a path is none of a pair; the server of another sees that it can send
// nothing to it any more. Does not wait.
bool make_send_only(int fd);

class EventTrigger {
 public:
  // `error`: an errno when it returns none; EINVAL: not an eventfd.
  static std::unique_ptr<EventTrigger> create(UniqueFd event, int& error);
  // The same for a socket of a pair, which a peer has in place of one: it is sent what an eventfd would be written.
  static std::unique_ptr<EventTrigger> create_for_socket(UniqueFd socket, int& error);
  // Makes what `count` triggers at a time need, before the process can make no ring any more (IoRing::forbid_new()).
  // Those beyond that number write to their eventfds. Any thread.
  static void reserve(unsigned count);
  virtual ~EventTrigger() = default;
  // One thread at a time. Does not block.
  virtual void signal() = 0;
};

// Where a peer's eventfd for one cause is, while there is one. Any thread.
class EventSlot {
 public:
  // Null: none any more. What was signalled while there was none reaches a new one.
  void place(std::unique_ptr<EventTrigger> trigger) {
    MutexLock lock(mutex_);
    trigger_ = std::move(trigger);
    if (trigger_ != nullptr && std::exchange(pending_, false)) trigger_->signal();
  }
  void signal() {
    MutexLock lock(mutex_);
    trigger_ != nullptr ? trigger_->signal() : void(pending_ = true);
  }
  void forget() {
    MutexLock lock(mutex_);
    pending_ = false;
  }

 private:
  Mutex mutex_;  // leaf; held across the signal, which does not block
  std::unique_ptr<EventTrigger> trigger_ ACRN_GUARDED_BY(mutex_);
  bool pending_ ACRN_GUARDED_BY(mutex_) = false;  // signalled without a trigger
};

}  // namespace acrn
