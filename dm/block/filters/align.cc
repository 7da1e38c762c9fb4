#include "dm/block/filters/align.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "acrn/base/address.h"
#include "acrn/base/check.h"
#include "acrn/base/round.h"
#include "acrn/block/iovec_cursor.h"
#include "dm/block/filters/filter.h"
#include "dm/block/filters/range_table.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

constexpr unsigned kBuffers = 4;           // per channel
constexpr size_t kBufferSize = 256 << 10;  // bytes; a multiple of any alignment
constexpr size_t kGroup = 32;              // requests passed on at once
constexpr uint32_t kSmallest = 512;        // bytes: what requests are multiples of in any case

struct Alignment {
  uint64_t block;   // bytes: offsets and lengths
  uint64_t memory;  // bytes: vectors

  uint64_t down(uint64_t offset) const { return round_down(offset, block); }
  uint64_t up(uint64_t offset) const { return round_up(offset, block); }
  bool whole_blocks(uint64_t begin, uint64_t end) const { return ((begin | end) & (block - 1)) == 0; }
};

class AlignBackend;

// One loop's side, on its thread. A request that needs more than to be passed on takes a slot, in which it
// goes through: its range (if it modifies something) -> a buffer (if it bounces) -> its pieces.
class AlignChannel final : public BlockChannel, public BlockSink {
 public:
  AlignChannel(AlignBackend& backend, const Alignment& align, RangeTable* table, unsigned depth)
      : backend_(backend), align_(align), table_(table), slots_(std::max(depth, 1u)) {
    for (Slot& slot : slots_) free_slots_.push(slot);
  }
  ~AlignChannel() override;
  Result<void> start(std::unique_ptr<BlockChannel> below, EventLoop& loop);

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.push(batch);
    pump(true);
  }

 private:
  // What a slot has sent below: the guest's request as it is; or, for a piece of it, the read of a block that
  // the piece begins or ends in, and then the piece.
  enum class Stage : uint8_t { kWhole, kStart, kHead, kTail, kMove };

  // The base request is what is sent below, time and again, for `guest`.
  struct Slot : BlockRequest {
    BlockRequest* guest = nullptr;
    RangeHold hold;
    bool holds = false;
    bool whole = false;  // can be sent as it is
    Stage stage = Stage::kWhole;
    std::byte* buffer = nullptr;
    IoVecCursor cursor;
    uint64_t done = 0;   // bytes of the guest's request
    uint64_t piece = 0;  // bytes of it that are under way
    iovec vector{};
  };

  // From below.
  void request_done(BlockRequest& request) override {
    returned_.push(request);
    pump(false);
  }
  void batch_done() override { group_.end(); }

  void pump(bool in_submit);
  bool work_once();  // false: there is nothing to do
  void begin(BlockRequest& guest);
  void begin_slot(BlockRequest& guest);
  void resume_granted();
  void want_buffer(Slot& slot);
  void send_whole(Slot& slot);
  void start_piece(Slot& slot);
  void next_stage(Slot& slot);
  void move_piece(Slot& slot);
  void step(Slot& slot);
  void finish(Slot& slot);
  void tell(BlockRequest& guest, int error);
  void send_blocks(Slot& slot, BlockOp op, uint64_t begin, uint64_t end, std::byte* memory);
  void send(BlockRequest& request);
  void flush_outgoing();
  bool fits(const BlockRequest& guest) const;

  // SAFETY: every request whose sink we are, and every one on our slot lists, is the base of a Slot.
  static Slot& slot_of(BlockRequest& request) { return static_cast<Slot&>(request); }
  uint64_t begin_of(const Slot& slot) const { return slot.guest->offset + slot.done; }

  AlignBackend& backend_;
  const Alignment align_;
  RangeTable* const table_;  // null: no request covers a part of a block
  std::unique_ptr<BlockChannel> below_;
  std::unique_ptr<Notifier> notifier_;
  RangeParty party_;

  std::vector<Slot> slots_;
  RequestFifo free_slots_;
  RequestFifo waiting_for_slot_;    // guests' requests
  RequestFifo waiting_for_buffer_;  // slots
  SubmitQueue incoming_;            // guests' requests not looked at yet
  RequestFifo returned_;            // slots whose request below is done
  std::array<BlockRequest*, kGroup> outgoing_{};
  size_t outgoing_count_ = 0;

  std::unique_ptr<std::byte, decltype(&std::free)> memory_{nullptr, &std::free};
  std::array<std::byte*, kBuffers> free_buffers_{};
  size_t free_buffer_count_ = 0;

  bool granted_ = false;    // ranges that we waited for may be ours now
  bool in_submit_ = false;  // what is done now is done inside the caller's submit()
  SinkGroup group_;
};

class AlignBackend final : public Filter {
 public:
  explicit AlignBackend(std::unique_ptr<BlockBackend> below)
      : Filter(std::move(below)),
        align_{std::max(beneath().info().offset_alignment, kSmallest), beneath().info().memory_alignment} {
    ACRN_CHECK(align_.block <= kBufferSize);
  }

  BlockInfo info() const override {
    BlockInfo info = beneath().info();
    info.offset_alignment = std::min(info.offset_alignment, kSmallest);
    info.memory_alignment = 1;
    return info;
  }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto below = beneath().open_channel(loop, depth);
    if (!below) return below.error();
    auto channel = std::make_unique<AlignChannel>(*this, align_, align_.block > kSmallest ? &table_ : nullptr, depth);
    if (auto started = channel->start(std::move(below).value(), loop); !started) return started.error();
    return std::unique_ptr<BlockChannel>(std::move(channel));
  }

  uint64_t size() const { return beneath().info().size; }

 private:
  const Alignment align_;
  RangeTable table_;
};

Result<void> AlignChannel::start(std::unique_ptr<BlockChannel> below, EventLoop& loop) {
  below_ = std::move(below);
  const size_t unit = std::max<size_t>(align_.memory, 4096);
  // SAFETY: aligned_alloc's result is kBuffers * kBufferSize bytes, released by free().
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(unit, kBuffers * kBufferSize)));
  if (memory_ == nullptr) return Error{ErrorKind::kInternal, "virtio-blk: nocache: no memory for its buffers"};
  for (; free_buffer_count_ < kBuffers; free_buffer_count_++) {
    free_buffers_[free_buffer_count_] = memory_.get() + free_buffer_count_ * kBufferSize;
  }
  if (table_ == nullptr) return {};
  auto notifier = loop.make_notifier([this] {
    granted_ = true;
    pump(false);
    group_.end();
  });
  if (!notifier) return notifier.error();
  notifier_ = std::move(notifier).value();
  party_.notifier = notifier_.get();
  return {};
}

AlignChannel::~AlignChannel() {
  if (table_ != nullptr) ACRN_CHECK(table_->take_granted(party_) == nullptr);
}

// All work is done here: what happens inside it (a request that is done at once, a sink that submits) only queues.
void AlignChannel::pump(bool in_submit) {
  incoming_.run([&] {
    in_submit_ = in_submit;
    while (work_once()) {
    }
  });
}

bool AlignChannel::work_once() {
  if (std::exchange(granted_, false)) {
    resume_granted();
  } else if (BlockRequest* returned = returned_.pop(); returned != nullptr) {
    step(slot_of(*returned));
  } else if (BlockRequest* guest = incoming_.pop(); guest != nullptr) {
    begin(*guest);
  } else if (outgoing_count_ > 0) {
    flush_outgoing();
  } else {
    return false;
  }
  return true;
}

bool AlignChannel::fits(const BlockRequest& guest) const {
  if (!align_.whole_blocks(guest.offset, guest.offset + guest.length)) return false;
  if (guest.op != BlockOp::kRead && guest.op != BlockOp::kWrite) return true;
  return std::all_of(guest.iov.begin(), guest.iov.end(), [this](const iovec& piece) {
    // SAFETY: only the address's alignment is looked at.
    return ((address_of(piece.iov_base) | piece.iov_len) & (align_.memory - 1)) == 0;
  });
}

void AlignChannel::begin(BlockRequest& guest) {
  if (guest.op == BlockOp::kFlush) return send(guest);
  const uint64_t size = backend_.size();
  if (!guest.is_inside(size) || (guest.offset | guest.length) % kSmallest != 0) {
    return tell(guest, EINVAL);
  }
  if (guest.op == BlockOp::kDiscard && align_.up(guest.offset) >= align_.down(guest.offset + guest.length)) {
    return tell(guest, 0);  // a hint, and no whole block
  }
  if (fits(guest) && (guest.op == BlockOp::kRead || table_ == nullptr)) return send(guest);
  if (free_slots_.empty()) return waiting_for_slot_.push(guest);
  begin_slot(guest);
}

void AlignChannel::begin_slot(BlockRequest& guest) {
  Slot& slot = slot_of(*free_slots_.pop());
  slot.guest = &guest;
  slot.sink = this;
  slot.done = 0;
  slot.cursor = IoVecCursor(guest.iov);
  slot.whole = guest.op == BlockOp::kDiscard || fits(guest);
  slot.holds = table_ != nullptr && guest.op != BlockOp::kRead;
  if (slot.holds) {
    const uint64_t end = guest.offset + guest.length;
    slot.hold.begin = align_.down(guest.offset);
    slot.hold.end = align_.up(end);
    slot.hold.exclusive = !slot.whole && !align_.whole_blocks(guest.offset, end);
    slot.hold.party = &party_;
    slot.hold.owner = &slot;
    if (!table_->acquire(slot.hold)) return;
  }
  want_buffer(slot);
}

void AlignChannel::resume_granted() {
  for (RangeHold* hold = table_->take_granted(party_); hold != nullptr;) {
    RangeHold* const next = hold->next_granted;
    // SAFETY: begin_slot() sets the owner of our holds.
    want_buffer(*static_cast<Slot*>(hold->owner));
    hold = next;
  }
}

void AlignChannel::want_buffer(Slot& slot) {
  if (slot.whole) return send_whole(slot);
  // A slot with a buffer waits for nothing but the disk, so waiting for a buffer ends.
  if (free_buffer_count_ == 0) return waiting_for_buffer_.push(slot);
  slot.buffer = free_buffers_[--free_buffer_count_];
  start_piece(slot);
}

void AlignChannel::send_whole(Slot& slot) {
  const BlockRequest& guest = *slot.guest;
  slot.op = guest.op;
  slot.stable = guest.stable;
  slot.may_unmap = guest.may_unmap;
  slot.offset = align_.up(guest.offset);  // a discard is rounded inwards, the others fit
  slot.length = align_.down(guest.offset + guest.length) - slot.offset;
  slot.iov = guest.iov;
  slot.stage = Stage::kWhole;
  slot.piece = guest.length;
  send(slot);
}

// Chooses the next piece: what fits into the buffer, or for zeroes whole blocks or a part of one.
void AlignChannel::start_piece(Slot& slot) {
  const uint64_t begin = begin_of(slot), left = slot.guest->length - slot.done;
  const uint64_t inside = begin - align_.down(begin);
  uint64_t most = kBufferSize - inside;
  if (slot.guest->op == BlockOp::kWriteZeroes) {
    most = inside == 0 && left >= align_.block ? align_.down(left) : align_.block - inside;
  }
  slot.piece = std::min(left, most);
  slot.stage = Stage::kStart;
  next_stage(slot);
}

// Reads the blocks that the piece covers in part, then moves the piece.
void AlignChannel::next_stage(Slot& slot) {
  const uint64_t begin = begin_of(slot), end = begin + slot.piece;
  const uint64_t first = align_.down(begin), last = align_.down(end);
  if (slot.guest->op != BlockOp::kRead) {
    if (slot.stage == Stage::kStart && begin != first) {
      slot.stage = Stage::kHead;
      return send_blocks(slot, BlockOp::kRead, first, first + align_.block, slot.buffer);
    }
    const bool tail_is_read = slot.stage == Stage::kTail || (slot.stage == Stage::kHead && last == first);
    if (end != last && !tail_is_read) {
      slot.stage = Stage::kTail;
      return send_blocks(slot, BlockOp::kRead, last, last + align_.block, slot.buffer + (last - first));
    }
  }
  slot.stage = Stage::kMove;
  move_piece(slot);
}

void AlignChannel::move_piece(Slot& slot) {
  const BlockRequest& guest = *slot.guest;
  const uint64_t begin = begin_of(slot), end = begin + slot.piece, first = align_.down(begin);
  std::byte* const data = slot.buffer + (begin - first);
  if (guest.op == BlockOp::kRead) return send_blocks(slot, BlockOp::kRead, first, align_.up(end), slot.buffer);
  if (guest.op == BlockOp::kWrite) {
    slot.cursor.copy_to(data, slot.piece);
  } else if (align_.whole_blocks(begin, end)) {
    return send_blocks(slot, BlockOp::kWriteZeroes, begin, end, nullptr);
  } else {
    std::memset(data, 0, slot.piece);
  }
  send_blocks(slot, BlockOp::kWrite, first, align_.up(end), slot.buffer);
}

// A request of a slot is done.
void AlignChannel::step(Slot& slot) {
  if (slot.error != 0) return finish(slot);
  if (slot.stage == Stage::kHead || slot.stage == Stage::kTail) return next_stage(slot);
  // Only what has been read goes to the guest: the buffer still has other requests' data in it.
  if (slot.stage == Stage::kMove && slot.op == BlockOp::kRead) {
    slot.cursor.copy_from(slot.buffer + (begin_of(slot) - slot.offset), slot.piece);
  }
  slot.done += slot.piece;
  slot.done == slot.guest->length ? finish(slot) : start_piece(slot);
}

void AlignChannel::finish(Slot& slot) {
  BlockRequest& guest = *slot.guest;
  const int error = slot.error;
  if (slot.holds) {
    table_->release(slot.hold);
    granted_ = true;
  }
  if (std::byte* const buffer = std::exchange(slot.buffer, nullptr); buffer != nullptr) {
    free_buffers_[free_buffer_count_++] = buffer;
  }
  free_slots_.push(slot);
  if (BlockRequest* waiter = free_buffer_count_ > 0 ? waiting_for_buffer_.pop() : nullptr; waiter != nullptr) {
    want_buffer(slot_of(*waiter));
  }
  if (!free_slots_.empty()) {
    if (BlockRequest* waiter = waiting_for_slot_.pop(); waiter != nullptr) begin_slot(*waiter);
  }
  tell(guest, error);
}

void AlignChannel::tell(BlockRequest& guest, int error) {
  guest.error = error;
  in_submit_ ? guest.sink->request_done(guest) : group_.done(guest);
}

void AlignChannel::send_blocks(Slot& slot, BlockOp op, uint64_t begin, uint64_t end, std::byte* memory) {
  slot.op = op;
  slot.stable = op != BlockOp::kRead && slot.guest->stable;
  slot.may_unmap = slot.guest->may_unmap;
  slot.offset = begin;
  slot.length = end - begin;
  slot.vector = {memory, end - begin};
  slot.iov = memory == nullptr ? std::span<const iovec>() : std::span<const iovec>(&slot.vector, 1);
  send(slot);
}

void AlignChannel::send(BlockRequest& request) {
  if (outgoing_count_ == outgoing_.size()) flush_outgoing();
  outgoing_[outgoing_count_++] = &request;
}

void AlignChannel::flush_outgoing() {
  const std::array<BlockRequest*, kGroup> group = outgoing_;
  const size_t count = std::exchange(outgoing_count_, 0);
  // What is passed on untouched may be done inside this call, and its sink is told by somebody else.
  for (size_t i = 0; i < count && !in_submit_; i++) group_.note(*group[i]->sink);
  below_->submit(std::span(group).first(count));
}

}  // namespace

std::unique_ptr<BlockBackend> make_filter_align(std::unique_ptr<BlockBackend> below) {
  return std::make_unique<AlignBackend>(std::move(below));
}

}  // namespace acrn
