#include "dm/block/engines/inline_transfers.h"

#include <chrono>

namespace acrn {

// What reads need is brought nearer.
void InlineTransfers::begin(std::span<BlockRequest* const> batch) {
  if (!file_.writes_to_cache()) return;  // none will be tried
  borrowed_ = loop_.is_borrowed();
  missed_ = false;
  most_ = borrowed_ ? kMostBorrowed : kMost;
  for (const BlockRequest* request : batch) {
    if (request->op == BlockOp::kRead && request->length <= most_) file_.prefetch(*request);
  }
  timer_.start();
}

InlineTransfers::Outcome InlineTransfers::attempt(BlockRequest& request, bool writes_are_fast) {
  const bool write = request.op == BlockOp::kWrite;
  if (request.length > most_ || (!write && request.op != BlockOp::kRead)) return Outcome::kNotTried;
  if (write ? !writes_are_fast || request.stable || !file_.writes_to_cache() : !file_.may_try_read()) {
    return Outcome::kNotTried;
  }
  if (!write && file_.read_mapped(request, timer_)) {
    request.error = 0;
    return Outcome::kDone;
  }
  // The host begins to copy before it knows that the end is missing.
  if (!write && request.length > RawFile::kMostTried) return Outcome::kNotTried;
  Backoff& backoff = write ? writes_ : reads_;
  if ((!write && missed_ && borrowed_) || backoff.skips()) return Outcome::kNotTried;
  const bool timed = write || file_.try_read_may_wait();
  request.error = 0;
  if (write) {
    request.error = file_.execute(request);
  } else if (!file_.try_read(request)) {
    backoff.record(false);
    missed_ = true;
    return Outcome::kWouldWait;
  }
  backoff.record(!timed || timer_.lap() < kSlow + std::chrono::nanoseconds(request.length));
  return Outcome::kDone;
}

}  // namespace acrn
