// InlineTransfers: carries out inside a channel's submit() what need not wait for a medium, since waking a thread costs
// more than a read that the page cache can serve. The host can be asked not to wait for a read; a write is guessed from
// the last ones. Owned by a channel, used on its loop.
#pragma once

#include <cstdint>
#include <span>

#include "dm/base/lap_timer.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {

class InlineTransfers {
 public:
  static constexpr uint64_t kMax = RawFile::kMostTried;  // bytes of one transfer

  explicit InlineTransfers(RawFile& file) : file_(file) {}

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
  Backoff reads_, writes_;
  LapTimer timer_;
};

}  // namespace acrn
