// ServerRequests: the requests of one loop to a disk that a server has: what waits, what is being carried out by
// commands for parts of its bytes, and in which order that begins again with the next connection. How a command is made
// is the connection's.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "acrn/block/blockif.h"
#include "acrn/block/iovec_cursor.h"
#include "dm/block/request_list.h"
#include "dm/block/sources/unflushed_writes.h"
#include "dm/block/submit_queue.h"

namespace acrn {

inline bool is_write(const BlockRequest& request) {
  return request.op == BlockOp::kWrite || request.op == BlockOp::kWriteZeroes;
}

// On its loop.
class ServerRequests {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kOps = 64;

  // A request that is being carried out, by commands for parts of its bytes, and then perhaps a flush.
  struct Op {
    Op* next_free = nullptr;
    BlockRequest* request = nullptr;  // null: free
    uint64_t number = 0;              // in the order in which they began
    IoVecCursor place;                // of the next command's bytes
    uint64_t begin = 0, end = 0;      // bytes of the disk for which there is no command yet
    uint64_t covered = 0;             // by its flush, see UnflushedWrites
    unsigned commands = 0;            // in flight
    bool flushed = false;             // there was a command for that
    Clock::time_point lost_since{};   // it had begun before, with a server that was lost then; 0: not so
    int error = 0;
  };
  // Of the disk.
  struct Rules {
    uint64_t size = 0;          // bytes
    uint64_t discard_unit = 1;  // bytes, power of two: a discard is rounded inwards to it
    bool read_only = false, can_flush = false, can_discard = false;
  };
  enum class Server { kUp, kAway, kAwayTooLong };
  enum class Step {
    kNone,       // there is nothing that can be done now
    kAnswered,   // a request, without a command
    kUnfinished  // unfinished() wants a command
  };

  // `patience`: so long a request is begun again after its server was lost. A server may answer a part of it each time,
  // and then be lost once more.
  ServerRequests(UnflushedWrites& writes, std::chrono::seconds patience) : writes_(writes), patience_(patience) {
    free_all();
  }

  void push(std::span<BlockRequest* const> batch) { incoming_.push(batch); }
  // As SubmitQueue::run().
  template <typename Body>
  bool run(Body body) {
    return incoming_.run(body);
  }
  // Some request that was given before is not on its way yet.
  bool is_waiting() const { return !waiting_.empty() || !overdue_.empty() || unfinished_ != nullptr; }

  // Looks at what waits.
  Step next(Server server, const Rules& rules, SinkGroup& group);
  // The one whose commands are not all made: the newest. Null: none.
  Op* unfinished() const { return unfinished_; }
  // There is a command for each of its bytes.
  void note_all_made() { unfinished_ = nullptr; }
  // It is answered.
  void finish(Op& op, bool can_flush, SinkGroup& group);
  // No command will be answered any more: what had begun waits again, before what waits already. `lost`: the server has
  // gone, and was not left.
  void begin_again(bool lost);

 private:
  std::optional<int> outcome_at_once(const BlockRequest& request, const Rules& rules) const;
  void begin(BlockRequest& request, const Rules& rules);
  void free_all();

  UnflushedWrites& writes_;
  const std::chrono::seconds patience_;
  std::array<Op, kOps> ops_;
  Op* free_ops_ = nullptr;
  Op* unfinished_ = nullptr;
  uint64_t begun_ = 0;
  SubmitQueue incoming_;
  RequestFifo waiting_;
  // Of those that wait, the first had begun before; since when each.
  std::array<Clock::time_point, kOps> again_{};
  size_t again_next_ = 0, again_end_ = 0;
  RequestFifo overdue_;  // will not begin again
};

}  // namespace acrn
