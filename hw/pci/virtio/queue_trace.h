// QueueTrace: what a queue tells a trace of its chains and requests, while the trace is on. On the queue's loop.
// A chain's descriptors are those that the device has copied, and so has acted by.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "acrn/block/blockif.h"
#include "acrn/trace/trace_ring.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {

class QueueTrace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The trace outlives it.
  QueueTrace(DeviceTrace& trace, unsigned index);

  bool on() const { return trace_.on(); }

  // `waiting` chains, from the one with index `next` on.
  void turn(TraceCause cause, Time time, unsigned waiting, uint16_t next);
  // The descriptors of a chain and what is wrong with them come between these two.
  void begin_chain(uint16_t head);
  void descriptor(const VringDesc& desc) {
    if (count_ < descriptors_.size()) descriptors_[count_++] = desc;
  }
  // `flags`: of TraceChain; `header`: null if there is none.
  void end_chain(Time time, Time waiting_since, uint16_t avail_index, uint8_t flags, const VirtioBlkOuthdr* header);
  // The chain that was taken last has been dealt with: what is wrong from now on is not of it.
  void leave_chain() { head_ = kNoChain; }
  void error(GuestRule rule, uint64_t detail);
  void submit(Time time, const BlockRequest& request, uint16_t head, size_t segment);
  void failed(const BlockRequest& request, uint16_t head);
  void held(uint16_t head);
  void used(uint16_t head, uint8_t status, uint32_t written);
  void publish(Time time, uint16_t used_index);
  void interrupt(Time time, bool sent, uint16_t used_index);
  void commit() { ring_.commit(); }

 private:
  // With the entry of the ring that refers to an indirect table; the device takes no longer chain.
  static constexpr size_t kDescriptors = 1025;
  static constexpr size_t kErrors = 4;  // of one chain
  static constexpr uint16_t kNoChain = 0xffff;

  struct Error {
    GuestRule rule;
    uint64_t detail;
  };

  void write_error(const Error& error);

  DeviceTrace& trace_;
  TraceRing& ring_;
  uint16_t head_ = kNoChain;  // of the chain that is being dealt with
  bool reading_ = false;      // between begin_chain() and end_chain()
  size_t count_ = 0, errors_ = 0;
  std::array<VringDesc, kDescriptors> descriptors_;
  std::array<Error, kErrors> errors_of_chain_;
};

}  // namespace acrn
