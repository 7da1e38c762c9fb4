// OverdueRequests: tells of requests that the disk does not carry out within a time limit, and of their end. Nothing is
// done to them. It looks a few times within that limit, and only while requests are in flight. On the queue's loop.
#pragma once

#include <chrono>
#include <memory>

#include "acrn/event/event_loop.h"
#include "hw/pci/virtio/blk_counters.h"
#include "hw/pci/virtio/blk_slot.h"
#include "hw/pci/virtio/blk_state.h"

namespace acrn {

class OverdueRequests {
 public:
  // `name` says in the log whose they are. All of it outlives this.
  OverdueRequests(BlkSlots& slots, const BlkState& device, BlkCounters& counters, std::string_view name,
                  EventLoop& loop)
      : slots_(slots), device_(device), counters_(counters), name_(name), loop_(loop) {}

  // Requests are in flight.
  void watch() {
    if (device_.io_timeout != std::chrono::milliseconds::zero() && !watching_) look_later();
  }
  // An overdue one is done.
  void record_end(BlkSlot& slot) const;
  void close() { timer_.reset(); }

 private:
  static constexpr unsigned kLooks = 4;  // within the limit

  void look_later();
  void look();
  void tell(const BlkSlot& slot, std::chrono::milliseconds waited) const;

  BlkSlots& slots_;
  const BlkState& device_;
  BlkCounters& counters_;
  const std::string_view name_;
  EventLoop& loop_;
  std::unique_ptr<Timer> timer_;  // since the first request that was not done at once
  bool watching_ = false;         // the timer is set, or there is none to be had
};

}  // namespace acrn
