#include "dm/block/engines/uring.h"

#include <linux/falloc.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/block/iovec_cursor.h"
#include "dm/base/errno_text.h"
#include "dm/base/io_ring.h"
#include "dm/block/engines/inline_transfers.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

// Requests that the kernel has at a time for one channel; more wait here.
constexpr unsigned kMaxOps = 256;
// One by one, adjacent requests do not merge; all at once, the medium waits for the last to be made (docs/adr/0020).
constexpr unsigned kSubmitGroup = 8;
// Adjacent requests of a group go to the kernel as one transfer of at most so many bytes (docs/adr/0032).
constexpr uint64_t kMostJoined = 64 << 10;
// What the kernel is asked for, and no ring does anything else.
constexpr auto kOperations = {IORING_OP_READ,   IORING_OP_READV, IORING_OP_WRITE,
                              IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
constexpr unsigned kReapGroup = 32, kReapGroups = 8;  // completions looked at together, and how often in a turn

int result_of(int res) { return res < 0 ? -res : 0; }

// A ring for the calling thread. Returns 0 or an errno.
int start_ring(IoRing& ring, unsigned entries) {
  // The kernel's newest way that spares interruptions of the thread, then an older one, then any.
  return ring.start(
      entries,
      {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
       IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0},
      kOperations);
}

}  // namespace

int EngineUring::unavailable() {
  IoRing ring;
  if (const int error = start_ring(ring, kMaxOps); error != 0) return error;
  return ring.supports(kOperations) ? 0 : EOPNOTSUPP;
}

class EngineUring::Channel final : public BlockChannel, private Poller {
 public:
  Channel(RawFile& file, EventLoop& loop) : file_(file), loop_(loop), inline_(file, loop) {}
  ~Channel() override;

  Result<void> start(unsigned depth);
  void submit(std::span<BlockRequest* const> batch) override;

 private:
  // What the kernel is doing for a request: one system call's worth at a time.
  enum class Step : uint8_t { kTransfer, kSync, kDiscard, kUnmap, kZeroRange, kZeroBytes };
  struct Op {
    Op* next_free = nullptr;
    BlockRequest* request = nullptr;
    Step step = Step::kTransfer;
    unsigned again = 0;   // times that it was to be tried again
    unsigned losses = 0;  // of the file, when a stable one began
    uint64_t done = 0;    // bytes of this step
    IoVecCursor cursor;
    std::array<iovec, kCutVectors> scratch;  // the cursor's, or the vectors of all that are joined
    Op* joined = nullptr;                    // transferred with this one: the request behind it, and so on
    bool alone = false;                      // not to be joined: that has failed
  };
  // The transfer that was handed to the ring last, and that the next one may join.
  struct Last {
    Op* first = nullptr;  // null: there is none
    Op* last = nullptr;
    io_uring_sqe* entry = nullptr;
    size_t vectors = 0;
    uint64_t bytes = 0;
  };

  // A busy loop finds what is done in its next round; one that sleeps is woken by the kernel.
  bool poll() override;
  bool wants_polling() const override { return false; }
  bool prepare_sleep() override { return false; }

  bool on_owner() const { return owner_ == std::this_thread::get_id(); }
  void take_incoming(SinkGroup& group);
  void take_waiting(SinkGroup& group);
  void take_more();
  void begin(BlockRequest& request, SinkGroup& group);
  bool first_step(Op& op, int& error);
  bool next_step(Op& op, int res, int& error);
  bool then_sync(Op& op, int& error);
  void queue(Op& op);
  bool join_last(Op& op);
  void prepare(Op& op, io_uring_sqe& entry);
  void prepare_transfer(Op& op, io_uring_sqe& entry);
  void prepare_vectors(const BlockRequest& request, std::span<const iovec> iov, uint64_t offset, io_uring_sqe& entry);
  void prepare_zeroes(const Op& op, io_uring_sqe& entry);
  void prepare_fallocate(io_uring_sqe& entry, int mode, uint64_t begin, uint64_t end);
  void submit_queued();
  void reap();
  void take_results(SinkGroup& group);
  void take_result(Op& op, int res, SinkGroup& group);
  void take_joined(Op& first, int res, SinkGroup& group);
  void finish(Op& op, int error, SinkGroup& group);

  RawFile& file_;
  EventLoop& loop_;
  InlineTransfers inline_;
  IoRing ring_;
  std::thread::id owner_;  // the only thread that the ring takes entries from
  bool loop_polls_ = false;
  std::unique_ptr<Notifier> completed_;    // rung by the kernel
  std::unique_ptr<Notifier> handed_over_;  // by a thread that is not the owner
  std::vector<Op> ops_;
  Op* free_ = nullptr;
  unsigned busy_ops_ = 0;
  Last last_;
  SubmitQueue incoming_;
  RequestFifo waiting_;  // for an op, or for the owner
};

BlockInfo EngineUring::info() const {
  BlockInfo info = file_->info();
  info.needs_own_thread = true;  // the one that the ring takes entries from
  return info;
}

Result<std::unique_ptr<BlockChannel>> EngineUring::open_channel(EventLoop& loop, unsigned depth) {
  auto channel = std::make_unique<Channel>(*file_, loop);
  if (auto started = channel->start(depth); !started) return started.error();
  return std::unique_ptr<BlockChannel>(std::move(channel));
}

Result<void> EngineUring::Channel::start(unsigned depth) {
  const auto failed = [](const char* what, int error) {
    return Error{ErrorKind::kInternal, concat("aio=io_uring: ", what, ": ", errno_text(error))};
  };
  ops_.resize(std::clamp(std::bit_ceil(depth), 1u, kMaxOps));
  for (Op& op : ops_) op.next_free = std::exchange(free_, &op);
  if (const int error = start_ring(ring_, static_cast<unsigned>(ops_.size())); error != 0)
    return failed("no ring", error);
  owner_ = std::this_thread::get_id();
  auto completed = loop_.make_notifier([this] { reap(); });
  if (!completed) return completed.error();
  completed_ = std::move(completed).value();
  // A ring whose work is deferred does not show in epoll by itself.
  if (const int error = ring_.set_eventfd(completed_->fd()); error != 0) return failed("no event", error);
  auto handed_over = loop_.make_notifier([this] { take_more(); });
  if (!handed_over) return handed_over.error();
  handed_over_ = std::move(handed_over).value();
  loop_polls_ = loop_.add_poller(*this);
  return {};
}

EngineUring::Channel::~Channel() {
  if (!ring_.started()) return;
  // The kernel must not write into memory that is about to be somebody else's.
  for (take_more(); busy_ops_ != 0; reap()) ring_.submit_and_wait(1);
  if (loop_polls_) loop_.remove_poller(*this);
}

void EngineUring::Channel::submit(std::span<BlockRequest* const> batch) {
  inline_.begin(batch, busy_ops_ == 0 && waiting_.empty());
  incoming_.push(batch);
  SinkGroup group;  // not ended: the caller knows when its submit() returns
  if (incoming_.run([&] { take_incoming(group); })) submit_queued();
}

void EngineUring::Channel::take_incoming(SinkGroup& group) {
  const bool owner = on_owner();
  bool handed_over = false;
  while (BlockRequest* request = incoming_.pop()) {
    if (inline_.attempt(*request, false) == InlineTransfers::Outcome::kDone) {
      group.done(*request);
    } else if (!owner || free_ == nullptr || !waiting_.empty()) {
      waiting_.push(*request);
      handed_over |= !owner;
    } else {
      begin(*request, group);
    }
  }
  if (handed_over) handed_over_->notify();
}

// On the owner: what had to wait, and what sinks submit while it is begun.
void EngineUring::Channel::take_waiting(SinkGroup& group) {
  while (free_ != nullptr) {
    BlockRequest* const request = waiting_.pop();
    if (request == nullptr) break;
    begin(*request, group);
  }
  take_incoming(group);
}

void EngineUring::Channel::take_more() {
  SinkGroup group;
  incoming_.run([&] { take_waiting(group); });
  submit_queued();
  group.end();
}

// On the owner, with an op to spare.
void EngineUring::Channel::begin(BlockRequest& request, SinkGroup& group) {
  Op& op = *free_;
  if (request.op == BlockOp::kDiscard || request.op == BlockOp::kWriteZeroes) {
    file_.note_removal(request);
  }
  op.request = &request;
  if (request.stable && file_.writes_to_cache()) op.losses = file_.losses();  // which syncs apart
  op.again = 0;
  op.done = 0;
  op.joined = nullptr;
  op.alone = false;
  int error = 0;
  if (!first_step(op, error)) {
    request.error = error;
    return group.done(request);
  }
  free_ = op.next_free;
  busy_ops_++;
  queue(op);
}

// False: there is none, and `error` is the result.
bool EngineUring::Channel::first_step(Op& op, int& error) {
  const BlockRequest& request = *op.request;
  error = file_.check(request);
  if (error != 0) return false;
  switch (request.op) {
    case BlockOp::kRead:
    case BlockOp::kWrite:
      op.step = Step::kTransfer;
      op.cursor = IoVecCursor(request.iov);
      return request.length != 0;
    case BlockOp::kFlush:
      op.step = Step::kSync;
      error = file_.note_flush(0);
      return error == 0 && !file_.info().read_only;
    case BlockOp::kDiscard: {
      op.step = Step::kDiscard;
      const auto [begin, end] = file_.discardable(request);
      return begin < end;
    }
    default: op.step = request.may_unmap ? Step::kUnmap : Step::kZeroRange; return request.length != 0;
  }
}

// Hands the op's step to the ring. There is an entry for each op, and an op has one at most.
void EngineUring::Channel::queue(Op& op) {
  if (join_last(op)) return;
  if (ring_.queued() >= kSubmitGroup) submit_queued();
  io_uring_sqe* const entry = ring_.next_entry();
  ACRN_CHECK(entry != nullptr);
  prepare(op, *entry);
  io_uring_sqe_set_data(entry, &op);
  last_ = {};
  const size_t vectors = op.request->iov.size();
  if (op.step == Step::kTransfer && op.done == 0 && !op.alone && vectors <= op.scratch.size()) {
    last_ = {&op, &op, entry, vectors, op.request->length};
  }
}

// False: it is no transfer that begins where the last one ends, or together they are too much.
bool EngineUring::Channel::join_last(Op& op) {
  if (last_.first == nullptr || op.step != Step::kTransfer || op.done != 0 || op.alone) return false;
  Op& first = *last_.first;
  const BlockRequest &request = *op.request, &begin = *first.request;
  const size_t vectors = last_.vectors + request.iov.size();
  if (request.op != begin.op || request.stable != begin.stable || request.offset != begin.offset + last_.bytes ||
      last_.bytes + request.length > kMostJoined || vectors > first.scratch.size()) {
    return false;
  }
  if (last_.last == &first) std::copy(begin.iov.begin(), begin.iov.end(), first.scratch.begin());
  std::copy(request.iov.begin(), request.iov.end(), first.scratch.begin() + static_cast<ptrdiff_t>(last_.vectors));
  prepare_vectors(begin, std::span(first.scratch).first(vectors), begin.offset, *last_.entry);
  io_uring_sqe_set_data(last_.entry, &first);
  last_.last->joined = &op;
  last_ = {&first, &op, last_.entry, vectors, last_.bytes + request.length};
  return true;
}

// The file is not a registered one: the kernel gives that back, and with it the lock of the bytes, some time after the
// process has died, when the next one has long wanted it.
void EngineUring::Channel::prepare(Op& op, io_uring_sqe& entry) {
  const BlockRequest& request = *op.request;
  switch (op.step) {
    case Step::kTransfer: return prepare_transfer(op, entry);
    case Step::kSync: return io_uring_prep_fsync(&entry, file_.fd(), IORING_FSYNC_DATASYNC);
    case Step::kDiscard: {
      const auto [begin, end] = file_.discardable(request);
      return prepare_fallocate(entry, FALLOC_FL_PUNCH_HOLE, begin, end);
    }
    case Step::kUnmap:
      return prepare_fallocate(entry, FALLOC_FL_PUNCH_HOLE, request.offset, request.offset + request.length);
    case Step::kZeroRange:
      return prepare_fallocate(entry, FALLOC_FL_ZERO_RANGE, request.offset, request.offset + request.length);
    case Step::kZeroBytes: return prepare_zeroes(op, entry);
  }
}

void EngineUring::Channel::prepare_transfer(Op& op, io_uring_sqe& entry) {
  prepare_vectors(*op.request, op.cursor.for_system_call(op.scratch), op.request->offset + op.done, entry);
}

void EngineUring::Channel::prepare_vectors(const BlockRequest& request, std::span<const iovec> iov, uint64_t offset,
                                           io_uring_sqe& entry) {
  const bool read = request.op == BlockOp::kRead;
  if (iov.size() == 1) {  // which spares the kernel a copy
    const auto bytes = static_cast<unsigned>(iov[0].iov_len);
    read ? io_uring_prep_read(&entry, file_.fd(), iov[0].iov_base, bytes, offset)
         : io_uring_prep_write(&entry, file_.fd(), iov[0].iov_base, bytes, offset);
  } else {
    const auto count = static_cast<unsigned>(iov.size());
    read ? io_uring_prep_readv(&entry, file_.fd(), iov.data(), count, offset)
         : io_uring_prep_writev(&entry, file_.fd(), iov.data(), count, offset);
  }
  entry.rw_flags = file_.transfer_flags(request);
  // Many writes of a ring share the description: see next_step().
  if (file_.writes_to_cache()) entry.rw_flags &= ~RWF_DSYNC;
}

void EngineUring::Channel::prepare_zeroes(const Op& op, io_uring_sqe& entry) {
  const uint64_t bytes = std::min<uint64_t>(zero_bytes.size(), op.request->length - op.done);
  io_uring_prep_write(&entry, file_.fd(), zero_bytes.data(), static_cast<unsigned>(bytes),
                      op.request->offset + op.done);
}

void EngineUring::Channel::prepare_fallocate(io_uring_sqe& entry, int mode, uint64_t begin, uint64_t end) {
  io_uring_prep_fallocate(&entry, file_.fd(), mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                          static_cast<off_t>(end - begin));
}

void EngineUring::Channel::submit_queued() {
  if (ring_.queued() == 0 || !on_owner()) return;
  last_ = {};
  // An error means the same as what is left: the kernel was short of something.
  ring_.submit();
  // What it has not taken is offered again in our next turn.
  if (ring_.queued() != 0) handed_over_->notify();
}

// Takes the result of a step. True: there is another one; false: `error` is the request's.
bool EngineUring::Channel::next_step(Op& op, int res, int& error) {
  const BlockRequest& request = *op.request;
  error = result_of(res);
  if ((error == EINTR || error == EAGAIN) && op.again++ < kMaxAgain) return true;
  switch (op.step) {
    case Step::kTransfer:
    case Step::kZeroBytes: {
      const auto moved = static_cast<uint64_t>(std::max(res, 0));
      if (error == 0 && (moved == 0 || moved > request.length - op.done)) error = EIO;  // the file ends here
      if (error == 0) {
        op.done += moved;
        if (op.step == Step::kTransfer) op.cursor.advance(moved);
        if (op.done < request.length) return true;
      }
      // What is cached is synced apart, as a flush is.
      if (op.step == Step::kZeroBytes || file_.writes_to_cache()) return then_sync(op, error);
      if (request.stable) error = file_.note_stable_write(error);
      return false;
    }
    case Step::kSync:
      error = request.op == BlockOp::kWrite ? file_.note_synced_write(error, op.losses) : file_.note_flush(error);
      return false;
    case Step::kDiscard:
      file_.note_removal(request);
      if (error == EOPNOTSUPP) error = 0;  // a hint
      return false;
    case Step::kUnmap:
    case Step::kZeroRange:
      file_.note_removal(request);
      if (!lacks_operation(error)) return then_sync(op, error);
      op.step = op.step == Step::kUnmap ? Step::kZeroRange : Step::kZeroBytes;
      return true;
  }
  return false;
}

// The same: the bytes are written, or `error` says why not.
bool EngineUring::Channel::then_sync(Op& op, int& error) {
  if (!op.request->stable) return false;
  if (error != 0) {
    error = file_.note_stable_write(error);
    return false;
  }
  op.step = Step::kSync;
  return true;
}

bool EngineUring::Channel::poll() {
  if (!ring_.has_events()) return false;
  reap();
  return true;
}

// Tells sinks last of all: they may have what they waited for.
void EngineUring::Channel::reap() {
  if (ring_.completed() == 0) ring_.get_events();
  SinkGroup group;
  incoming_.run([&] {
    take_results(group);
    if (ring_.completed() != 0) completed_->notify();  // others of the loop have their turn
    take_waiting(group);
  });
  submit_queued();
  group.end();
}

void EngineUring::Channel::take_results(SinkGroup& group) {
  std::array<io_uring_cqe*, kReapGroup> room;
  for (unsigned groups = 0; groups < kReapGroups; groups++) {
    const std::span<io_uring_cqe*> entries = ring_.peek(room);
    if (entries.empty()) return;
    for (const io_uring_cqe* entry : entries) {
      // SAFETY: queue() set it.
      Op& op = *static_cast<Op*>(io_uring_cqe_get_data(entry));
      op.joined != nullptr ? take_joined(op, entry->res, group) : take_result(op, entry->res, group);
    }
    ring_.release(entries.size());
  }
}

void EngineUring::Channel::take_result(Op& op, int res, SinkGroup& group) {
  int error = 0;
  if (next_step(op, res, error)) {
    queue(op);
  } else {
    finish(op, error, group);
  }
}

// All of it was transferred; or each is tried alone, so that the one at fault fails alone.
void EngineUring::Channel::take_joined(Op& first, int res, SinkGroup& group) {
  uint64_t bytes = 0;
  for (const Op* op = &first; op != nullptr; op = op->joined) bytes += op->request->length;
  const bool whole = res >= 0 && static_cast<uint64_t>(res) == bytes;
  // It may have been told, once for all, of what an earlier write has lost.
  if (res < 0 && first.request->op == BlockOp::kWrite && first.request->stable) file_.note_stable_write(-res);
  for (Op* next = &first; next != nullptr;) {
    Op& op = *std::exchange(next, next->joined);
    op.joined = nullptr;
    if (whole) {
      take_result(op, static_cast<int>(op.request->length), group);
    } else {
      op.alone = true;
      queue(op);
    }
  }
}

void EngineUring::Channel::finish(Op& op, int error, SinkGroup& group) {
  BlockRequest& request = *op.request;
  op.next_free = std::exchange(free_, &op);
  busy_ops_--;
  request.error = error;
  group.done(request);
}

}  // namespace acrn
