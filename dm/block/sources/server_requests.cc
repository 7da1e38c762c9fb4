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
  if (server != Server::kUp) {
    BlockRequest* const request = server == Server::kAwayTooLong ? waiting_.pop() : nullptr;
    return request != nullptr ? answer(*request, EIO) : Step::kNone;
  }
  if (unfinished_ != nullptr) return Step::kUnfinished;
  BlockRequest* const request = free_ops_ != nullptr ? waiting_.pop() : nullptr;
  if (request == nullptr) return Step::kNone;
  if (const auto outcome = outcome_at_once(*request, rules)) return answer(*request, *outcome);
  begin(*request, rules);
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

void ServerRequests::begin_again() {
  std::array<Op*, kOps> begun{};
  const auto end = std::transform(ops_.begin(), ops_.end(), begun.begin(), [](Op& op) { return &op; });
  std::sort(begun.begin(), end, [](const Op* a, const Op* b) { return a->number < b->number; });
  RequestFifo requests;
  for (const Op* op : begun) {
    if (op->request != nullptr) requests.push(*op->request);
  }
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
