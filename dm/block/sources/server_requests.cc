#include "dm/block/sources/server_requests.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "acrn/base/round.h"

namespace acrn {

ServerRequests::Step ServerRequests::next(Server server, const Rules& rules, SinkGroup& group) {
  while (BlockRequest* request = incoming_.pop()) waiting_.push(*request);
  const auto answer = [&](BlockRequest& request, int error) {
    request.error = error;
    group.done(request);
    return Step::kAnswered;
  };
  const auto answer_first = [&](int error) {
    BlockRequest* const request = waiting_.pop();
    if (request == nullptr) return Step::kNone;
    if (again_next_ != again_end_) again_next_++;
    return answer(*request, error);
  };
  if (BlockRequest* const request = overdue_.pop()) return answer(*request, EIO);
  if (server != Server::kUp) return server == Server::kAwayTooLong ? answer_first(EIO) : Step::kNone;
  if (unfinished_ != nullptr) return Step::kUnfinished;
  if (free_ops_ == nullptr || waiting_.empty()) return Step::kNone;
  if (const auto outcome = outcome_at_once(*waiting_.front(), rules)) return answer_first(*outcome);
  begin(*waiting_.pop(), rules);
  return Step::kUnfinished;
}

// Of what the server is not asked for.
std::optional<int> ServerRequests::outcome_at_once(const BlockRequest& request, const Rules& rules) const {
  if (request.op == BlockOp::kFlush) {
    if (writes_.lost()) return EIO;
    return rules.can_flush && !rules.read_only ? std::nullopt : std::optional(0);
  }
  if (!request.is_inside(rules.size)) return EIO;
  if (request.op != BlockOp::kRead && rules.read_only) return EROFS;
  if (request.op == BlockOp::kDiscard && !rules.can_discard) return 0;  // a hint
  return request.length != 0 ? std::nullopt : std::optional(0);
}

void ServerRequests::begin(BlockRequest& request, const Rules& rules) {
  Op& op = *free_ops_;
  free_ops_ = op.next_free;
  op = Op();
  op.request = &request;
  op.number = ++begun_;
  if (again_next_ != again_end_) op.lost_since = again_[again_next_++];
  unfinished_ = &op;
  if (request.op == BlockOp::kFlush) return;
  op.place = IoVecCursor(request.iov);
  op.begin = request.offset;
  op.end = request.offset + request.length;
  if (request.op == BlockOp::kDiscard) {
    op.begin = round_up(op.begin, rules.discard_unit);
    op.end = std::max(op.begin, round_down(op.end, rules.discard_unit));
  }
}

void ServerRequests::finish(Op& op, bool can_flush, SinkGroup& group) {
  BlockRequest& request = *op.request;
  if (op.flushed) writes_.note_flush(op.covered, op.error);
  if (request.stable && op.error == EIO) writes_.note_flush(0, EIO);
  if (request.op == BlockOp::kFlush && writes_.lost()) op.error = EIO;
  if (is_write(request) && !request.stable && can_flush) writes_.note_write();
  request.error = op.error;
  op.request = nullptr;
  op.next_free = std::exchange(free_ops_, &op);
  group.done(request);
}

void ServerRequests::begin_again(bool lost) {
  std::array<Op*, kOps> begun{};
  const auto end = std::transform(ops_.begin(), ops_.end(), begun.begin(), [](Op& op) { return &op; });
  std::sort(begun.begin(), end, [](const Op* a, const Op* b) { return a->number < b->number; });
  RequestFifo requests;
  std::array<Clock::time_point, kOps> again{};  // no more than had begun, now or the last time
  size_t count = 0;
  const auto now = Clock::now();
  const auto wait_again = [&](BlockRequest& request, Clock::time_point lost_since) {
    const bool before = lost_since != Clock::time_point();
    if (lost && before && now - lost_since >= patience_) return overdue_.push(request);
    again[count++] = before || !lost ? lost_since : now;
    requests.push(request);
  };
  for (const Op* op : begun) {
    if (op->request != nullptr) wait_again(*op->request, op->lost_since);
  }
  for (; again_next_ != again_end_; again_next_++) wait_again(*waiting_.pop(), again_[again_next_]);
  again_ = again;
  again_next_ = 0;
  again_end_ = count;
  while (BlockRequest* request = waiting_.pop()) requests.push(*request);
  waiting_ = requests;
  free_all();
}

void ServerRequests::free_all() {
  free_ops_ = unfinished_ = nullptr;
  for (Op& op : ops_) {
    op.request = nullptr;
    op.next_free = std::exchange(free_ops_, &op);
  }
}

}  // namespace acrn
