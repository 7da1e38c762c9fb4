// FrontEnd: how a device reaches the front end that is connected: the eventfds of its queues' interrupts, and the
// socket that takes a change of the configuration. Any thread.
#pragma once

#include <memory>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/event/event_trigger.h"

namespace acrn::vhost_user {

class FrontEnd final : public VirtioInterruptSink {
 public:
  explicit FrontEnd(unsigned queues) : calls_(queues) {}

  // No descriptor: none any more. A new one is signalled at once, for what an earlier one of a queue that runs, or an
  // earlier server, may have been told in vain; QEMU's tests wait for that. These return 0 or an errno.
  int set_call(unsigned queue, UniqueFd event);
  int set_socket(UniqueFd socket);
  // Nothing of a front end that has left.
  void clear();

  void queue_interrupt(unsigned queue) override { calls_[queue].signal(); }
  void config_interrupt() override;

 private:
  std::vector<EventSlot> calls_;  // by queue
  Mutex mutex_;                   // leaf; held across a message, which does not wait
  UniqueFd socket_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn::vhost_user
