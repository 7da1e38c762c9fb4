// CompletionPublisher: shows a driver its completed chains in small groups, so that it works on them while the device
// works on the rest, and interrupts it after larger ones (docs/adr/0009). On the queue's loop.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

#include "acrn/virtio/virtio_device.h"
#include "hw/pci/virtio/blk_counters.h"
#include "hw/pci/virtio/queue_trace.h"
#include "hw/pci/virtio/virtqueue.h"

namespace acrn {

class CompletionPublisher {
 public:
  using Clock = std::chrono::steady_clock;

  // A group is so many completions, or fewer that have so many bytes: to copy them takes longer than to show them.
  static constexpr unsigned kPublishGroup = 4;
  static constexpr uint64_t kPublishBytes = 64 << 10;
  // An interrupt costs both sides more than a look at the used index does.
  static constexpr unsigned kInterruptGroup = 16;

  // Interrupts as queue `index`. Ring and counters outlive the publisher.
  CompletionPublisher(Virtqueue& ring, BlkCounters& counters, unsigned index)
      : ring_(ring), counters_(counters), index_(index) {}
  void connect(VirtioInterruptSink& interrupts) { interrupts_ = &interrupts; }  // before the first add()

  void set_trace(QueueTrace* trace) { trace_ = trace; }  // null: nobody is told

  bool empty() const { return unpublished_ == 0; }
  // When the driver was shown the last one.
  Clock::time_point published_at() const { return published_at_; }

  // One more chain is on the used ring, of a request of that kind and of so many bytes; `in_flight` others are not
  // done.
  void add(DiskRequestKind kind, const RequestTimes& times, uint64_t bytes, unsigned in_flight) {
    done_[unpublished_++] = {kind, times};
    unpublished_bytes_ += bytes;
    uninterrupted_++;
    if (unpublished_ < kPublishGroup && unpublished_bytes_ < kPublishBytes) return;
    publish();
    // At the latest when half of what the driver has with us is done: it wakes up while we do the other half.
    if (uninterrupted_ >= std::min(kInterruptGroup, in_flight + ring_.waiting())) interrupt();
  }
  // Shows the driver everything, and interrupts it if it wants that.
  void flush() {
    publish();
    interrupt();
  }

 private:
  void publish() {
    if (unpublished_ == 0) return;
    ring_.publish();
    published_at_ = Clock::now();
    if (trace_ != nullptr) trace_->publish(published_at_, ring_.used_index());
    count_times();
    unpublished_ = 0;
    unpublished_bytes_ = 0;
  }
  // Those of a group were mostly taken together, and are of one kind.
  void count_times() {
    for (unsigned i = 0, next; i < unpublished_; i = next) {
      for (next = i + 1; next < unpublished_ && done_[next] == done_[i];) next++;
      counters_.count_times(done_[i].kind, done_[i].times, published_at_, next - i);
    }
  }
  void interrupt() {
    uninterrupted_ = 0;
    if (!ring_.has_news()) return;
    const bool wanted = ring_.wants_interrupt();
    if (trace_ != nullptr) trace_->interrupt(published_at_, wanted, ring_.used_index());
    if (!wanted) return;
    counters_.interrupts.add();
    interrupts_->queue_interrupt(index_);
  }

  Virtqueue& ring_;
  BlkCounters& counters_;
  const unsigned index_;
  VirtioInterruptSink* interrupts_ = nullptr;
  QueueTrace* trace_ = nullptr;
  unsigned unpublished_ = 0;  // completed, used.idx not moved yet
  uint64_t unpublished_bytes_ = 0;
  unsigned uninterrupted_ = 0;  // completed since the driver's wish for an interrupt was looked at
  Clock::time_point published_at_;
  struct Done {
    DiskRequestKind kind;
    RequestTimes times;
    bool operator==(const Done&) const = default;
  };
  std::array<Done, kPublishGroup> done_;  // those not published
};

}  // namespace acrn
