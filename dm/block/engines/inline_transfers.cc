#include "dm/block/engines/inline_transfers.h"

#include <chrono>

namespace acrn {

// What reads need is brought nearer.
void InlineTransfers::begin(std::span<BlockRequest* const> batch, bool may_begin) {
  if (!file_.writes_to_cache()) return;  // none will be tried
  borrowed_ = loop_.is_borrowed();
  may_begin_ = may_begin;
  missed_ = false;
  most_ = borrowed_ ? kMostBorrowed : kMost;
  ReadOrder order = order_;  // as the attempts are going to see it
  for (const BlockRequest* request : batch) {
    if (request->op == BlockOp::kRead && request->length <= most_) file_.prefetch(*request, access_of(*request, order));
  }
  timer_.start();
}

// A page that has gone meanwhile is read alone in kRandom: a large read would wait for each of its pages.
MappedReads::Access InlineTransfers::access_of(const BlockRequest& read, ReadOrder& order) {
  const bool in_order = order.goes_on(read.offset, read.length);
  return in_order || read.length > kMostBorrowed ? MappedReads::Access::kOrder : MappedReads::Access::kRandom;
}

InlineTransfers::Outcome InlineTransfers::attempt(BlockRequest& request, bool writes_are_fast) {
  if (request.length > most_) return Outcome::kNotTried;
  if (request.op == BlockOp::kRead) return attempt_read(request);
  const bool may_write = writes_are_fast && !request.stable && file_.writes_to_cache();
  return request.op == BlockOp::kWrite && may_write ? attempt_write(request) : Outcome::kNotTried;
}

InlineTransfers::Outcome InlineTransfers::attempt_read(BlockRequest& request) {
  if (!file_.may_try_read()) return Outcome::kNotTried;
  const auto access = access_of(request, order_);
  request.error = 0;
  if (file_.read_mapped(request, access, timer_)) return Outcome::kDone;
  // The host begins to copy before it knows that the end is missing.
  if (request.length > RawFile::kMostTried) return Outcome::kNotTried;
  if ((missed_ && borrowed_) || reads_.skips()) return Outcome::kNotTried;
  if (!file_.try_read(request, access, may_begin_, timer_)) {
    reads_.record(false);
    missed_ = true;
    may_begin_ = false;
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
