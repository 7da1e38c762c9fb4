// TurnPolicy: how many chains a turn at the ring may take, until when, and who looks at the ring next (docs/adr/0018,
// 0019, 0021). Pure: no ring, no loop and no clock of its own. Used on the queue's loop, except where it says
// otherwise.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "acrn/block/block_options.h"

namespace acrn {

// Where a turn runs: on the loop's own thread, or on the thread that kicks, which has borrowed the loop.
enum class Site : uint8_t { kLoop, kKick };

// Who looks at the ring after a turn: nobody before there are new chains, the driver's next kick, or the loop at once.
enum class Next : uint8_t { kDone, kNextKick, kWakeLoop };

struct TurnLimits {
  unsigned chains;                                 // at least 1
  std::chrono::steady_clock::time_point deadline;  // no chain is taken after it
  uint64_t flush_bytes;                            // so much data goes to the channel without waiting for more
};

struct TurnResult {
  unsigned chains = 0;                   // how many were taken
  unsigned remaining = 0;                // chains in the ring, if a limit ended the turn; else 0
  bool past_deadline = false;            // that limit was the deadline
  unsigned in_flight = 0;                // requests that are not done
  bool needs_loop = false;               // and the loop's own thread has to start them
  std::chrono::nanoseconds duration{0};  // of a turn that took chains and after which nothing is in flight; else unused
};

class TurnPolicy {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A turn takes as many chains as usually take this long, and begins none after twice as long. On the loop, other
  // queues have their turns then; a kick keeps a virtual CPU waiting.
  static constexpr std::chrono::nanoseconds kLongestTurn = std::chrono::microseconds(500);
  static constexpr std::chrono::nanoseconds kLongestKick = std::chrono::microseconds(40);
  static constexpr unsigned kRingsPerTurn = 2;  // at most, however fast; in a kick half as many more
  // Copied together at most, before the clock is looked at.
  static constexpr uint64_t kKickFlushBytes = 128 << 10, kLoopFlushBytes = 1 << 20;

  explicit TurnPolicy(KickMode mode) : mode_(mode) {}

  // For a turn that begins at `now` with `waiting` chains in the ring.
  TurnLimits begin(Site site, unsigned waiting, unsigned ring_size, Time now) const {
    unsigned chains = turn_quota(site, ring_size);
    if (site == Site::kLoop) return {chains, now + 2 * kLongestTurn, kLoopFlushBytes};
    if (waiting <= chains + chains / 2) chains += chains / 2;  // which empties the ring
    return {chains, now + 2 * kLongestKick, kKickFlushBytes};
  }

  Next end(Site site, const TurnResult& result) {
    record_turn(site, result);
    if (result.remaining == 0) return Next::kDone;
    const bool much = result.remaining * chain_cost_ > kLongestKick / 2;
    if (much) last_kick_inline_ = false;
    const bool wake = site == Site::kLoop || result.past_deadline || much || result.in_flight != 0;
    return wake ? Next::kWakeLoop : Next::kNextKick;
  }

  // Whether a kick should be served on its own thread. Any thread; a hint.
  bool inline_ok() const {
    return mode_ == KickMode::kInline || (mode_ == KickMode::kAuto && inline_pays_.load(std::memory_order_relaxed));
  }

  // Whether the loop should look at a running ring before it sleeps. Not while the medium is waited for, which may take
  // long, and whose completions wake it.
  bool wants_polling(unsigned in_flight) const { return in_flight == 0 && !last_kick_inline_; }

 private:
  unsigned turn_quota(Site site, unsigned ring_size) const {
    const auto chains = (site == Site::kKick ? kLongestKick : kLongestTurn) / chain_cost_;
    return std::clamp(static_cast<unsigned>(chains), 1u, kRingsPerTurn * ring_size);
  }

  // Learns what the next kick's thread may take, and whether it should take anything.
  void record_turn(Site site, const TurnResult& result) {
    inline_pays_.store(!result.needs_loop, std::memory_order_relaxed);
    if (result.needs_loop) {
      last_kick_inline_ = false;
    } else if (site == Site::kKick) {
      last_kick_inline_ = true;
    }
    if (result.in_flight != 0 || result.chains == 0) return;  // what a chain takes is not known
    // A turn that was interrupted says little, so one turn counts for at most twice the average.
    const auto cost = result.duration / result.chains;
    chain_cost_ += (std::min(cost, 2 * chain_cost_) - chain_cost_) / 8;
  }

  const KickMode mode_;
  std::atomic<bool> inline_pays_{true};
  bool last_kick_inline_ = false;  // the last kick was served on its own thread and left nothing for the loop
  std::chrono::nanoseconds chain_cost_{1000};  // moving average, of chains that are done at once
};

}  // namespace acrn
