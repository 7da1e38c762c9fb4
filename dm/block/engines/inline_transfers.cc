#include "dm/block/engines/inline_transfers.h"

#include <chrono>

namespace acrn {

// What reads need is brought nearer.
void InlineTransfers::begin(std::span<BlockRequest* const> batch, bool medium_idle) {
  if (!file_.writes_to_cache()) return;  // none will be tried
  borrowed_ = loop_.is_borrowed();
  medium_idle_ = medium_idle;
  missed_ = false;
  most_ = borrowed_ ? kMostBorrowed : kMost;
  for (const BlockRequest* request : batch) {
    if (request->op == BlockOp::kRead && request->length <= most_) file_.prefetch(*request);
  }
  timer_.start();
}

InlineTransfers::Outcome InlineTransfers::attempt(BlockRequest& request, bool writes_are_fast) {
  if (request.length > most_) return Outcome::kNotTried;
  if (request.op == BlockOp::kRead) return attempt_read(request);
  const bool may_write = writes_are_fast && !request.stable && file_.writes_to_cache();
  return request.op == BlockOp::kWrite && may_write ? attempt_write(request) : Outcome::kNotTried;
}

InlineTransfers::Outcome InlineTransfers::attempt_read(BlockRequest& request) {
  if (!file_.may_try_read()) return Outcome::kNotTried;
  using Access = MappedReads::Access;
  const Access access = order_.goes_on(request.offset, request.length) ? Access::kOrder : Access::kRandom;
  request.error = 0;
  if (file_.read_mapped(request, access, timer_)) return Outcome::kDone;
  // The host begins to copy before it knows that the end is missing.
  if (request.length > RawFile::kMostTried) return Outcome::kNotTried;
  if ((missed_ && borrowed_) || reads_.skips()) return Outcome::kNotTried;
  if (!file_.try_read(request, access, medium_idle_, timer_)) {
    reads_.record(false);
    missed_ = true;
    return Outcome::kWouldWait;
  }
  reads_.record(!file_.try_read_may_wait() || was_fast(request));
  return Outcome::kDone;
}

InlineTransfers::Outcome InlineTransfers::attempt_write(BlockRequest& request) {
  if (writes_.skips()) return Outcome::kNotTried;
  request.error = file_.execute(request);
  writes_.record(was_fast(request));
  return Outcome::kDone;
}

bool InlineTransfers::was_fast(const BlockRequest& request) {
  return timer_.lap() < kSlow + std::chrono::nanoseconds(request.length);
}

}  // namespace acrn
