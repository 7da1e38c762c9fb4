// InlineTransfers: carries out inside a channel's submit() what need not wait for a medium, since waking a thread costs
// more than a read that the page cache can serve. The host can be asked not to wait for a read; a write is guessed from
// the last ones. Owned by a channel, used on its loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "acrn/base/backoff.h"
#include "acrn/event/event_loop.h"
#include "dm/base/lap_timer.h"
#include "dm/block/engines/read_order.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {

class InlineTransfers {
 public:
  // Bytes of one transfer. A thread that has borrowed the loop may be a virtual CPU, which waits for about 10 us; the
  // loop's own thread takes what is copied sooner than it is handed to a worker and back (docs/adr/0039).
  static constexpr uint64_t kMostBorrowed = RawFile::kMostTried, kMost = 1 << 20;
  // What takes longer, besides a nanosecond for each byte, has waited for a medium.
  static constexpr std::chrono::nanoseconds kSlow = std::chrono::microseconds(200);

  InlineTransfers(RawFile& file, const EventLoop& loop) : file_(file), loop_(loop) {}

  // These are attempted next, one right after the other. `may_begin`: the medium is not busy, so one that has to wait
  // may be begun on the way, see RawFile::try_read().
  void begin(std::span<BlockRequest* const> batch, bool may_begin);

  enum class Outcome : uint8_t { kDone, kNotTried, kWouldWait };
  // kDone: request.error is set. `writes_are_fast`: cached writes of late have not waited for the medium.
  Outcome attempt(BlockRequest& request, bool writes_are_fast);

 private:
  static constexpr unsigned kMaxBackoff = 255;

  static MappedReads::Access access_of(const BlockRequest& read, ReadOrder& order);
  Outcome attempt_read(BlockRequest& request);
  Outcome attempt_write(BlockRequest& request);
  bool was_fast(const BlockRequest& request);

  RawFile& file_;
  const EventLoop& loop_;
  uint64_t most_ = 0;      // bytes, of those that are attempted now
  bool borrowed_ = false;  // the loop, during these
  bool may_begin_ = false;
  // One of these was a read that would have waited, which takes time to find out: a virtual CPU does that once.
  bool missed_ = false;
  ReadOrder order_;
  Backoff reads_{kMaxBackoff}, writes_{kMaxBackoff};
  LapTimer timer_;
};

}  // namespace acrn
