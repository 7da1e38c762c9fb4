// InlineTransfers: carries out inside a channel's submit() what need not wait for a medium, since waking a thread costs
// more than a read that the page cache can serve. The host can be asked not to wait for a read; a write is guessed from
// the last ones. Owned by a channel, used on its loop.
#pragma once

#include <cstdint>
#include <span>

#include "acrn/event/event_loop.h"
#include "dm/base/lap_timer.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {

class InlineTransfers {
 public:
  // Bytes of one transfer. A thread that has borrowed the loop may be a virtual CPU, which waits for about 10 us; the
  // loop's own thread takes what is copied sooner than it is handed to a worker and back (docs/adr/0039).
  static constexpr uint64_t kMostBorrowed = RawFile::kMostTried, kMost = 1 << 20;

  InlineTransfers(RawFile& file, const EventLoop& loop) : file_(file), loop_(loop) {}

  // These are attempted next, one right after the other.
  void begin(std::span<BlockRequest* const> batch);

  enum class Outcome : uint8_t { kDone, kNotTried, kWouldWait };
  // kDone: request.error is set. `writes_are_fast`: cached writes of late have not waited for the medium.
  Outcome attempt(BlockRequest& request, bool writes_are_fast);

 private:
  // After an attempt that did not pay some are left out, more each time.
  class Backoff {
   public:
    bool skips() {
      if (skip_ == 0) return false;
      skip_--;
      return true;
    }
    void record(bool paid);

   private:
    unsigned length_ = 0, skip_ = 0;  // of attempts
  };

  RawFile& file_;
  const EventLoop& loop_;
  uint64_t most_ = 0;  // bytes, of those that are attempted now
  Backoff reads_, writes_;
  LapTimer timer_;
};

}  // namespace acrn
