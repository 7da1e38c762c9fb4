// TurnPolicy: how many chains a turn at the ring may take, until when, and who looks at the ring next (docs/adr/0018,
// 0019, 0021). Pure: no ring, no loop and no clock of its own. Used on the queue's loop, except where it says
// otherwise.
//
// A queue is served by kicks, each of which does as much as a virtual CPU may wait for and leaves the rest to the next
// one, or by its loop, which polls. By kicks as long as they are served in place, two are enough for the ring, and the
// driver comes back for what was left.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

#include "acrn/base/backoff.h"
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
    const bool as_a_kick = site == Site::kKick || by_kicks_;
    unsigned chains = turn_quota(as_a_kick ? kLongestKick : kLongestTurn, ring_size);
    if (!as_a_kick) return {chains, now + 2 * kLongestTurn, kLoopFlushBytes};
    if (waiting <= chains + chains / 2) chains += chains / 2;  // which empties the ring
    return {chains, now + 2 * kLongestKick, kKickFlushBytes};
  }

  Next end(Site site, const TurnResult& result) {
    record_turn(site, result);
    const bool came_back = std::exchange(left_, false);
    if (result.in_flight == 0) choose_server(site, result.remaining, came_back);
    if (result.remaining == 0) return Next::kDone;
    left_ = by_kicks_ && result.in_flight == 0 && !result.past_deadline;
    return left_ ? Next::kNextKick : Next::kWakeLoop;
  }
  // No kick has come for what a turn had left to the next one.
  void record_absence() {
    left_ = by_kicks_ = false;
    attempts_.record(false);
  }
  // A kick was an event, which has woken the loop.
  void record_event() { kicks_are_exits_ = by_kicks_ = false; }

  // Whether a kick should be served on its own thread. Any thread; a hint.
  bool inline_ok() const {
    return mode_ == KickMode::kInline || (mode_ == KickMode::kAuto && inline_pays_.load(std::memory_order_relaxed));
  }

  // Whether the loop should look at a running ring before it sleeps. Not while the medium is waited for, which may take
  // long, and whose completions wake it.
  bool wants_polling(unsigned in_flight) const { return in_flight == 0 && !by_kicks_; }

 private:
  // Turns without another attempt to serve by kicks, after those that did not pay.
  static constexpr unsigned kMostSkipped = 1023;

  // `came_back`: the driver, for what the last turn had left.
  void choose_server(Site site, unsigned remaining, bool came_back) {
    if (!kicks_are_exits_ || !inline_ok()) return;
    if (remaining * chain_cost_ > kLongestKick) {
      if (std::exchange(by_kicks_, false)) attempts_.record(false);
      return;
    }
    if (came_back || (site == Site::kKick && remaining == 0)) attempts_.record(true);
    if (remaining != 0 || !by_kicks_) by_kicks_ = !attempts_.skips();
  }

  unsigned turn_quota(std::chrono::nanoseconds longest, unsigned ring_size) const {
    const auto chains = longest / chain_cost_;
    return std::clamp(static_cast<unsigned>(chains), 1u, kRingsPerTurn * ring_size);
  }

  // Learns what the next kick's thread may take, and whether it should take anything.
  void record_turn(Site site, const TurnResult& result) {
    inline_pays_.store(!result.needs_loop, std::memory_order_relaxed);
    if (result.needs_loop) {
      by_kicks_ = false;
    } else if (site == Site::kKick) {
      kicks_are_exits_ = by_kicks_ = true;
    }
    if (result.in_flight != 0 || result.chains == 0) return;  // what a chain takes is not known
    // A turn that was interrupted says little, so one turn counts for at most twice the average.
    const auto cost = result.duration / result.chains;
    chain_cost_ += (std::min(cost, 2 * chain_cost_) - chain_cost_) / 8;
  }

  const KickMode mode_;
  std::atomic<bool> inline_pays_{true};
  bool kicks_are_exits_ = false;               // as far as is known: the last one was no event
  bool by_kicks_ = false;                      // the queue is served, not by its loop
  bool left_ = false;                          // the last turn has left something to the next kick
  Backoff attempts_{kMostSkipped};             // to serve by kicks
  std::chrono::nanoseconds chain_cost_{1000};  // moving average, of chains that are done at once
};

}  // namespace acrn
