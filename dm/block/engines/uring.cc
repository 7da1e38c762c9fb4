#include "dm/block/engines/uring.h"

#include <liburing.h>
#include <linux/falloc.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <utility>
#include <vector>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/base/fence.h"
#include "dm/base/errno_text.h"
#include "dm/block/engines/inline_transfers.h"
#include "dm/block/engines/remainder.h"
#include "dm/block/request_list.h"

namespace acrn {
namespace {

// Requests that the kernel has at a time for one channel; more wait here.
constexpr unsigned kMaxOps = 256;
// One by one, adjacent requests do not merge; all at once, the medium waits for the last to be made (docs/adr/0020).
constexpr unsigned kSubmitGroup = 8;
constexpr unsigned kReapGroup = 32, kReapGroups = 8;  // completions looked at together, and how often in a turn

int result_of(int res) { return res < 0 ? -res : 0; }

}  // namespace

class EngineUring::Ring {
 public:
  Ring() = default;
  ~Ring() {
    if (started_) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // For the calling thread. 0 or an errno.
  int start(unsigned entries) {
    // The kernel's newest way that spares interruptions of the thread, then an older one, then any.
    static constexpr std::array<unsigned, 3> kWays{
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
    int error = EINVAL;
    for (size_t i = 0; i < kWays.size() && error == EINVAL; i++) {
      io_uring_params params{};
      params.flags = kWays[i];
      error = -io_uring_queue_init_params(entries, &ring_, &params);
    }
    started_ = error == 0;
    return error;
  }

  // Whether the kernel knows all that is asked of it below.
  bool knows_operations() {
    io_uring_probe* const probe = io_uring_get_probe_ring(&ring_);
    if (probe == nullptr) return false;
    bool all = true;
    for (const int operation :
         {IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE}) {
      all = all && io_uring_opcode_supported(probe, operation) != 0;
    }
    io_uring_free_probe(probe);
    return all;
  }

  io_uring& get() { return ring_; }
  bool started() const { return started_; }

 private:
  io_uring ring_{};
  bool started_ = false;
};

int EngineUring::unavailable() {
  Ring ring;
  if (const int error = ring.start(kMaxOps); error != 0) return error;
  return ring.knows_operations() ? 0 : EOPNOTSUPP;
}

class EngineUring::Channel final : public BlockChannel, private Poller {
 public:
  Channel(RawFile& file, EventLoop& loop) : file_(file), loop_(loop), inline_(file) {}
  ~Channel() override;

  Result<void> start(unsigned depth);
  void submit(std::span<BlockRequest* const> batch) override;
  bool needs_own_thread() const override { return true; }

 private:
  // What the kernel is doing for a request: one system call's worth at a time.
  enum class Step : uint8_t { kTransfer, kSync, kDiscard, kUnmap, kZeroRange, kZeroBytes };
  struct Op {
    Op* next_free = nullptr;
    BlockRequest* request = nullptr;
    Step step = Step::kTransfer;
    unsigned again = 0;  // times that it was to be tried again
    uint64_t done = 0;   // bytes of this step
    Remainder rest;
  };

  bool poll() override;
  bool pays() const override { return busy_ops_ != 0; }
  bool rest() override;

  void take_incoming(SinkGroup& group);
  void take_waiting(SinkGroup& group);
  void take_more();
  void begin(BlockRequest& request, SinkGroup& group);
  bool first_step(Op& op, int& error);
  bool next_step(Op& op, int res, int& error);
  bool after_zeroes(Op& op, int& error);
  void queue(Op& op);
  void submit_queued();
  bool has_events();
  void reap();
  void finish(Op& op, int error, SinkGroup& group);

  RawFile& file_;
  EventLoop& loop_;
  InlineTransfers inline_;
  Ring ring_;
  pthread_t owner_{};  // the only thread that the ring takes entries from
  bool loop_polls_ = false;
  std::unique_ptr<Notifier> completed_;    // rung by the kernel, but while the loop looks for itself
  std::unique_ptr<Notifier> handed_over_;  // by a thread that is not the owner
  std::vector<Op> ops_;
  Op* free_ = nullptr;
  unsigned busy_ops_ = 0;
  RequestFifo incoming_;  // submitted, not looked at yet
  RequestFifo waiting_;   // for an op, or for the owner
  bool working_ = false;  // a submit() from inside only queues
};

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
  if (const int error = ring_.start(static_cast<unsigned>(ops_.size())); error != 0) return failed("no ring", error);
  owner_ = pthread_self();
  auto completed = loop_.make_notifier([this] { reap(); });
  if (!completed) return completed.error();
  completed_ = std::move(completed).value();
  // A ring whose work is deferred does not show in epoll by itself.
  if (const int error = -io_uring_register_eventfd(&ring_.get(), completed_->fd()); error != 0)
    return failed("no event", error);
  auto handed_over = loop_.make_notifier([this] { take_more(); });
  if (!handed_over) return handed_over.error();
  handed_over_ = std::move(handed_over).value();
  loop_polls_ = loop_.add_poller(*this);
  return {};
}

EngineUring::Channel::~Channel() {
  if (!ring_.started()) return;
  // The kernel must not write into memory that is about to be somebody else's.
  for (take_more(); busy_ops_ != 0; reap()) io_uring_submit_and_wait(&ring_.get(), 1);
  if (loop_polls_) loop_.remove_poller(*this);
}

void EngineUring::Channel::submit(std::span<BlockRequest* const> batch) {
  for (BlockRequest* request : batch) incoming_.push(*request);
  if (std::exchange(working_, true)) return;
  SinkGroup group;  // who submits needs not be told of its end
  take_incoming(group);
  working_ = false;
  submit_queued();
}

void EngineUring::Channel::take_incoming(SinkGroup& group) {
  const bool owner = pthread_equal(owner_, pthread_self()) != 0;
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

// On the owner: what had to wait, and what sinks submit meanwhile.
void EngineUring::Channel::take_waiting(SinkGroup& group) {
  working_ = true;
  while (free_ != nullptr) {
    BlockRequest* const request = waiting_.pop();
    if (request == nullptr) break;
    begin(*request, group);
  }
  take_incoming(group);
  working_ = false;
  submit_queued();
}

void EngineUring::Channel::take_more() {
  SinkGroup group;
  take_waiting(group);
  group.end();
}

// On the owner, with an op to spare.
void EngineUring::Channel::begin(BlockRequest& request, SinkGroup& group) {
  Op& op = *free_;
  op.request = &request;
  op.again = 0;
  op.done = 0;
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
      op.rest = Remainder(request.iov);
      return request.length != 0;
    case BlockOp::kFlush:
      op.step = Step::kSync;
      error = file_.note_sync(0);
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
  if (io_uring_sq_ready(&ring_.get()) >= kSubmitGroup) submit_queued();
  io_uring_sqe* const entry = io_uring_get_sqe(&ring_.get());
  ACRN_CHECK(entry != nullptr);
  // Not a registered file: the kernel gives that back, and with it the lock of the bytes, some time after the process
  // has died, when the next one has long wanted it.
  const int file = file_.fd();
  const BlockRequest& request = *op.request;
  switch (op.step) {
    case Step::kTransfer: {
      const std::span<const iovec> iov = op.rest.vectors();
      const auto count = static_cast<unsigned>(iov.size());
      const uint64_t offset = request.offset + op.done;
      const bool one = count == 1;  // which spares the kernel a copy
      const auto bytes = static_cast<unsigned>(one ? iov[0].iov_len : 0);
      if (request.op == BlockOp::kRead) {
        if (one)
          io_uring_prep_read(entry, file, iov[0].iov_base, bytes, offset);
        else
          io_uring_prep_readv(entry, file, iov.data(), count, offset);
      } else {
        if (one)
          io_uring_prep_write(entry, file, iov[0].iov_base, bytes, offset);
        else
          io_uring_prep_writev(entry, file, iov.data(), count, offset);
        if (request.stable) entry->rw_flags = RWF_DSYNC;
      }
      break;
    }
    case Step::kSync: io_uring_prep_fsync(entry, file, IORING_FSYNC_DATASYNC); break;
    case Step::kDiscard: {
      const auto [begin, end] = file_.discardable(request);
      io_uring_prep_fallocate(entry, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                              static_cast<off_t>(end - begin));
      break;
    }
    case Step::kUnmap:
    case Step::kZeroRange:
      io_uring_prep_fallocate(
          entry, file, (op.step == Step::kUnmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE,
          static_cast<off_t>(request.offset), static_cast<off_t>(request.length));
      break;
    case Step::kZeroBytes:
      io_uring_prep_write(entry, file, zero_bytes.data(),
                          static_cast<unsigned>(std::min<uint64_t>(zero_bytes.size(), request.length - op.done)),
                          request.offset + op.done);
      break;
  }
  io_uring_sqe_set_data(entry, &op);
}

void EngineUring::Channel::submit_queued() {
  if (io_uring_sq_ready(&ring_.get()) == 0 || pthread_equal(owner_, pthread_self()) == 0) return;
  io_uring_submit(&ring_.get());
  // The kernel was short of something; what it has not taken is offered again in our next turn.
  if (io_uring_sq_ready(&ring_.get()) != 0) handed_over_->notify();
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
        if (op.step == Step::kTransfer) op.rest.advance(moved);
        if (op.done < request.length) return true;
      }
      if (op.step == Step::kZeroBytes) return after_zeroes(op, error);
      if (request.stable) error = file_.note_stable_write(error);
      return false;
    }
    case Step::kSync: error = file_.note_sync(error); return false;
    case Step::kDiscard:
      if (error == EOPNOTSUPP) error = 0;  // a hint
      return false;
    case Step::kUnmap:
    case Step::kZeroRange:
      if (!lacks_operation(error)) return after_zeroes(op, error);
      op.step = op.step == Step::kUnmap ? Step::kZeroRange : Step::kZeroBytes;
      return true;
  }
  return false;
}

// The same: the zeroes are written, or `error` says why not.
bool EngineUring::Channel::after_zeroes(Op& op, int& error) {
  if (!op.request->stable) return false;
  if (error != 0) {
    error = file_.note_stable_write(error);
    return false;
  }
  op.step = Step::kSync;
  return true;
}

bool EngineUring::Channel::has_events() {
  io_uring& ring = ring_.get();
  if (io_uring_cq_ready(&ring) != 0) return true;
  return (IO_URING_READ_ONCE(*ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool EngineUring::Channel::poll() {
  if (!has_events()) return false;
  reap();
  return true;
}

bool EngineUring::Channel::rest() {
  io_uring_cq_eventfd_toggle(&ring_.get(), true);
  full_fence();  // pairs with the kernel's, between showing work and looking whether anybody is to be told
  return has_events();
}

// Tells sinks last of all: they may have what they waited for.
void EngineUring::Channel::reap() {
  io_uring& ring = ring_.get();
  if (loop_polls_) io_uring_cq_eventfd_toggle(&ring, false);  // until rest()
  if (io_uring_cq_ready(&ring) == 0) io_uring_get_events(&ring);
  SinkGroup group;
  std::array<io_uring_cqe*, kReapGroup> entries;
  working_ = true;
  for (unsigned groups = 0; groups < kReapGroups; groups++) {
    const unsigned count = io_uring_peek_batch_cqe(&ring, entries.data(), kReapGroup);
    if (count == 0) break;
    for (unsigned i = 0; i < count; i++) {
      // SAFETY: queue() set it.
      Op& op = *static_cast<Op*>(io_uring_cqe_get_data(entries[i]));
      int error = 0;
      if (next_step(op, entries[i]->res, error)) {
        queue(op);
      } else {
        finish(op, error, group);
      }
    }
    io_uring_cq_advance(&ring, count);
  }
  if (io_uring_cq_ready(&ring) != 0) completed_->notify();  // others of the loop have their turn
  take_waiting(group);
  group.end();
}

void EngineUring::Channel::finish(Op& op, int error, SinkGroup& group) {
  BlockRequest& request = *op.request;
  op.next_free = std::exchange(free_, &op);
  busy_ops_--;
  request.error = error;
  group.done(request);
}

}  // namespace acrn
