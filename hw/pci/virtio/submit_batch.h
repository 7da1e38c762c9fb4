// SubmitBatch: requests that have been parsed and go to the channel together, so that the engine works on them while
// the rest of the ring is parsed. On the queue's loop.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "acrn/block/blockif.h"

namespace acrn {

class SubmitBatch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr unsigned kRequests = 8;

  // What holds from now on: the batch is due when it has that many bytes.
  void set_flush_bytes(uint64_t bytes) { flush_bytes_ = bytes; }
  // One look at the clock serves all requests of a batch: when they were taken from the ring.
  void set_batch_time(Time time) { batch_time_ = time; }
  Time batch_time() const { return batch_time_; }

  bool empty() const { return count_ == 0; }
  // Adds a request. True: the batch is due, and the caller flushes it before the next push().
  bool push(BlockRequest& request) {
    requests_[count_++] = &request;
    bytes_ += request.length;
    return count_ == kRequests || bytes_ >= flush_bytes_;
  }
  // Submits what there is. `channel` may be null while the batch is empty. Nothing is pushed from inside submit().
  void flush(BlockChannel* channel) {
    if (count_ == 0) return;
    channel->submit({requests_.data(), count_});
    count_ = 0;
    bytes_ = 0;
  }

 private:
  std::array<BlockRequest*, kRequests> requests_;
  size_t count_ = 0;
  uint64_t bytes_ = 0;
  uint64_t flush_bytes_ = UINT64_MAX;
  Time batch_time_{};
};

}  // namespace acrn
