#include "hw/pci/virtio/blk_queue.h"

#include <algorithm>
#include <system_error>

#include "acrn/base/errno_name.h"

namespace acrn {
namespace {

// How many chains a turn takes: as many as usually take this long, then other queues of the loop have theirs. None is
// begun after twice as long.
constexpr std::chrono::nanoseconds kLongestTurn = std::chrono::microseconds(500);
constexpr unsigned kRingsPerTurn = 2;

// The same for a kick on its own thread, a virtual CPU's: half as long again if that empties the ring.
constexpr std::chrono::nanoseconds kLongestKick = std::chrono::microseconds(64);
// A driver that has been given something comes back with more, and its next kick takes what the last one left. If it
// does not come for so long, the loop does it. Setting an alarm is dear, so it is not set anew by each kick.
constexpr uint64_t kKickPatience = 200'000;  // nanoseconds

static_assert(kDiskOperationNames.size() == static_cast<size_t>(BlockOp::kWriteZeroes) + 1);

DiskRequestKind kind_of(uint32_t type) {
  switch (type) {
    case VIRTIO_BLK_T_IN: return DiskRequestKind::kRead;
    case VIRTIO_BLK_T_OUT: return DiskRequestKind::kWrite;
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_FLUSH_OUT: return DiskRequestKind::kFlush;
    case VIRTIO_BLK_T_GET_ID: return DiskRequestKind::kGetId;
    case VIRTIO_BLK_T_DISCARD: return DiskRequestKind::kDiscard;
    case VIRTIO_BLK_T_WRITE_ZEROES: return DiskRequestKind::kWriteZeroes;
    default: return DiskRequestKind::kOther;
  }
}

}  // namespace

bool BlkState::write_through() const {
  const uint64_t features = accepted.load(std::memory_order_relaxed);
  if ((features & feature(VIRTIO_BLK_F_CONFIG_WCE)) != 0) return !writeback.load(std::memory_order_relaxed);
  // A driver that never flushes gets stable writes, or its data would never be stable (virtio 1.2 5.2.6.2).
  if ((features & feature(VIRTIO_BLK_F_FLUSH)) == 0) return true;
  return !writeback_option;
}

BlkQueue::BlkQueue(unsigned index, uint16_t size, const BlkSerial& serial, const BlkState& state,
                   GuestErrors& guest_errors, EventLoop& loop)
    : index_(index),
      state_(state),
      guest_errors_(guest_errors),
      loop_(loop),
      serial_(serial),
      ring_(size, guest_errors),
      slots_(size),
      // Left uninitialised: pages are touched by the requests that need them.
      buffer_storage_(new iovec[size_t{size} * ChainBuffers::kVectors]),
      segment_storage_(new std::byte[size_t{size} * state.max_discard_segments * sizeof(VirtioBlkDiscardWriteZeroes)]) {
  // SAFETY: segments are made of Le integers, aligned like bytes, and copied to before they are read.
  auto* const segments = reinterpret_cast<VirtioBlkDiscardWriteZeroes*>(segment_storage_.get());
  for (size_t i = 0; i < size; i++) {
    slots_[i].buffers.storage = {&buffer_storage_[i * ChainBuffers::kVectors], ChainBuffers::kVectors};
    slots_[i].segments = {segments + i * state.max_discard_segments, state.max_discard_segments};
  }
  batch_.reserve(size);
}

Result<std::unique_ptr<BlkQueue>> BlkQueue::create(unsigned index, uint16_t size, const BlkSerial& serial,
                                                   const BlkState& state, GuestErrors& guest_errors, EventLoop& loop) {
  std::unique_ptr<BlkQueue> queue(new BlkQueue(index, size, serial, state, guest_errors, loop));
  auto notifier = loop.make_notifier([raw = queue.get()] { raw->on_kick(); });
  if (!notifier) return notifier.error();
  queue->kicked_ = std::move(notifier).value();
  auto alarm = loop.make_alarm([raw = queue.get()] { raw->on_alarm(); });
  if (!alarm) {
    loop.run([&] { queue->close(); });
    return alarm.error();
  }
  queue->left_over_ = std::move(alarm).value();
  return queue;
}

Result<void> BlkQueue::open_channel(BlockBackend& backend) {
  ACRN_CHECK(loop_.is_current() && channel_ == nullptr);
  auto channel = backend.open_channel(loop_, size() + 1u);  // and a flush of the host's
  if (!channel) return channel.error();
  opened_channel_ = std::move(channel).value();
  return {};
}

void BlkQueue::use_channel(const BlkSerial& serial) {
  ACRN_CHECK(loop_.is_current() && channel_ == nullptr);
  channel_ = std::move(opened_channel_);
  serial_ = serial;
}

void BlkQueue::flush_disk(std::function<void(int)> done) {
  ACRN_CHECK(loop_.is_current());
  if (channel_ == nullptr) return done(0);
  auto* flush = new HostFlush;  // request_done() ends it
  flush->op = BlockOp::kFlush;
  flush->sink = this;
  flush->done = std::move(done);
  BlockRequest* request = flush;
  channel_->submit({&request, 1});
  batch_done();  // for requests of the guest that were done inside submit()
}

void BlkQueue::close() {
  ACRN_CHECK(loop_.is_current() && in_flight_ == 0);
  if (loop_polls_) loop_.remove_poller(*this);
  poll_timer_.reset();
  channel_.reset();
  left_over_.reset();
  kicked_.reset();
}

bool BlkQueue::start(const std::shared_ptr<const MemoryMap>& map, Gpa ring) {
  ACRN_CHECK(loop_.is_current() && in_flight_ == 0 && unpublished_ == 0);
  suspended_ = ring_missing_ = false;
  if (!ring_.start(map, ring)) {
    const GuestRule why = ring_.why_missing(*map);
    kick_without_ring_.store(why, std::memory_order_relaxed);
    guest_errors_.record(why, raw(ring));
    return false;
  }
  counters_.stopped.store(false, std::memory_order_relaxed);
  set_up_.store(true, std::memory_order_relaxed);
  was_set_up_ = true;
  if (!loop_polls_) loop_polls_ = loop_.add_poller(*this);
  if (state_.poll_nanoseconds != 0) start_polling();
  return true;
}

void BlkQueue::start_polling() {
  auto timer = loop_.make_timer(state_.poll_nanoseconds, [this] { on_tick(); });
  if (!timer) {
    log(LogLevel::kWarning, concat("queue ", index_, ": ", timer.error().message, "; it waits for kicks instead"));
    return;
  }
  poll_timer_ = std::move(timer).value();
  read_features();
  ring_.disable_kicks(Virtqueue::KickPause::kPolling);
}

void BlkQueue::stop(std::function<void()> stopped) {
  set_up_.store(false, std::memory_order_relaxed);
  kick_without_ring_.store(GuestRule::kKickBeforeRing, std::memory_order_relaxed);
  counters_.stopped.store(false, std::memory_order_relaxed);
  suspended_ = ring_missing_ = false;
  finish_requests(std::move(stopped));
}

void BlkQueue::suspend(std::function<void()> suspended) {
  suspended_ = suspended_ || ring_.running();
  finish_requests(std::move(suspended));
}

void BlkQueue::resume(const std::shared_ptr<const MemoryMap>& map) {
  ACRN_CHECK(loop_.is_current() && !stopped_);
  if (!suspended_) return;
  ring_missing_ = !ring_.resume(map);
  if (ring_missing_) {
    kick_without_ring_.store(ring_.why_missing(*map), std::memory_order_relaxed);
    return;
  }
  suspended_ = false;
  if (state_.poll_nanoseconds != 0) start_polling();
  drain();  // what came meanwhile
}

void BlkQueue::finish_requests(std::function<void()> stopped) {
  ACRN_CHECK(loop_.is_current() && !stopped_);
  poll_timer_.reset();
  if (in_flight_ != 0) {
    stopped_ = std::move(stopped);  // publish() calls it after the last one
    return;
  }
  ring_.stop();
  stopped();
}

// The loop need not be woken for what is done at once: the kicking thread does it.
void BlkQueue::kick() {
  if (!set_up_.load(std::memory_order_relaxed)) return note_kick_without_ring();
  const bool may = state_.kick == KickMode::kInline ||
                   (state_.kick == KickMode::kAuto && lending_pays_.load(std::memory_order_relaxed));
  if (!may || !loop_.try_enter()) return kicked_->notify();
  lent_ = true;
  on_kick();
  lent_ = false;
  loop_.leave();
}

void BlkQueue::note_kick_without_ring() {
  const GuestRule rule = kick_without_ring_.load(std::memory_order_relaxed);
  guest_errors_.record(rule, rule == GuestRule::kKickBeforeRing ? index_ : raw(ring_.place()));
}

void BlkQueue::on_kick() {
  counters_.kicks.add();
  if (ring_missing_) note_kick_without_ring();
  if (suspended_) return;  // resume() will look
  if (ring_.running()) {
    drain();
    if (ring_.is_blank()) guest_errors_.record(GuestRule::kRingBlank, raw(ring_.place()));
    return;
  }
  // A doorbell that no ring was ever behind. Later it may have been rung while there was one.
  if (!was_set_up_) note_kick_without_ring();
}

void BlkQueue::on_alarm() {
  alarm_set_ = false;
  if (!ring_.has_more() || suspended_ || stopped_) return;
  if (std::exchange(came_back_, false)) return set_alarm();
  drain();
}

void BlkQueue::set_alarm() {
  if (!std::exchange(alarm_set_, true)) left_over_->set(kKickPatience);
}

void BlkQueue::on_tick() {
  counters_.polls.add();
  drain();
}

void BlkQueue::read_features() {
  const uint64_t features = state_.accepted.load(std::memory_order_relaxed);
  ring_.set_features((features & feature(VIRTIO_RING_F_INDIRECT_DESC)) != 0,
                     (features & feature(VIRTIO_RING_F_EVENT_IDX)) != 0);
}

void BlkQueue::drain() {
  read_features();
  const Clock::time_point begin = Clock::now();
  bool over = false;
  const unsigned popped = take_turn(begin + 2 * (lent_ ? kLongestKick : kLongestTurn), over);
  if (stopped_) return;
  if (ring_.broken()) note_broken_ring();
  note_turn(popped, begin);
  if (over) leave_over();
}

void BlkQueue::note_broken_ring() {
  if (counters_.stopped.exchange(true, std::memory_order_relaxed)) return;
  counters_.stops.add();
  guest_errors_.record_stop(index_);
}

// Starts what the ring has, as much as fits into a turn; returns how many requests that were, and `over` if there are
// more. None is begun after `end`.
unsigned BlkQueue::take_turn(Clock::time_point end, bool& over) {
  unsigned share = share_of_a_turn(), popped = 0;
  if (lent_ && ring_.waiting() <= share + share / 2) share += share / 2;
  bool late = false;
  do {
    ring_.disable_kicks(Virtqueue::KickPause::kTurn);
    while (popped < share && !late && !stopped_) {
      auto chain = ring_.pop();
      if (!chain) break;
      popped++;
      start_request(std::move(*chain));
      // A group has just been submitted, or so many have been refused.
      if (batch_.empty() || popped % kSubmitGroup == 0) late = Clock::now() > end;
    }
    submit_batch();
    signal();
    if (stopped_) break;
    if (poll_timer_ != nullptr) {
      ring_.disable_kicks(Virtqueue::KickPause::kPolling);  // the rest is for the next tick
      break;
    }
    late_ = late;
    over = (late || popped >= share) && ring_.has_more();
    if (over) break;
    if (loop_polls_ && !lent_) break;  // the loop looks again, and calls rest() before it no longer does
  } while (ring_.enable_kicks(Virtqueue::KickPoint::kNextChain));
  return popped;
}

// The turn is over and the ring not empty.
void BlkQueue::leave_over() {
  const bool much = ring_.waiting() * cost_ > kLongestKick / 2;
  if (much) was_lent_ = false;  // the loop polls
  if (!lent_ || late_ || much || in_flight_ != 0) return kicked_->notify();
  ring_.enable_kicks(Virtqueue::KickPoint::kBeyondRing);
  came_back_ = alarm_set_;
  set_alarm();
}

// Requests that one turn may take.
unsigned BlkQueue::share_of_a_turn() const {
  const auto most = (lent_ ? kLongestKick : kLongestTurn) / cost_;
  return std::clamp(static_cast<unsigned>(most), 1u, kRingsPerTurn * size());
}

// Learns from a turn what the next kick's thread may take on, and whether it had better not.
void BlkQueue::note_turn(unsigned popped, Clock::time_point begin) {
  const bool waits = in_flight_ != 0 && channel_ != nullptr && channel_->needs_own_thread();
  lending_pays_.store(!waits, std::memory_order_relaxed);
  if (waits)
    was_lent_ = false;
  else if (lent_)
    was_lent_ = true;
  if (in_flight_ != 0 || popped == 0) return;  // its end is not known
  const std::chrono::nanoseconds cost = (Clock::now() - begin) / popped;
  cost_ += (std::min(cost, 2 * cost_) - cost_) / 8;  // one that was interrupted says little
}

bool BlkQueue::poll() {
  if (stopped_ || poll_timer_ != nullptr || !ring_.has_more()) return false;
  drain();
  return true;
}

bool BlkQueue::rest() {
  return !stopped_ && poll_timer_ == nullptr && ring_.enable_kicks(Virtqueue::KickPoint::kNextChain);
}

// One look at the clock for all that is parsed before the next submission.
BlkQueue::Clock::time_point BlkQueue::begun() {
  if (group_begun_ == Clock::time_point{}) group_begun_ = Clock::now();
  return group_begun_;
}

void BlkQueue::start_request(DescChain chain) {
  Slot& slot = slots_[chain.head()];
  if (slot.chain.pending()) {
    // Its first incarnation keeps slot and status byte, and this one has none of its own.
    guest_errors_.record(GuestRule::kHeadInFlight, chain.head());
    return ring_.drop_without_status(std::move(chain));
  }
  const bool good = ring_.read_chain(chain.head(), slot.buffers);
  if (slot.buffers.status == nullptr) {
    if (good) guest_errors_.record(GuestRule::kStatusMissing, chain.head());
    return ring_.drop_without_status(std::move(chain));
  }
  slot.chain = std::move(chain);
  slot.begun = begun();
  in_flight_++;
  if (!good) {
    count_request(DiskRequestKind::kOther);
    return finish(slot, VIRTIO_BLK_S_IOERR, 1);
  }
  const ParsedRequest request = parse_request(slot.buffers);
  count_request(request.broken ? DiskRequestKind::kOther : kind_of(request.header.type));
  if (request.broken) return refuse(slot, VIRTIO_BLK_S_IOERR, *request.broken, slot.chain.head());
  if (channel_ == nullptr && request.header.type != VIRTIO_BLK_T_GET_ID) {
    return refuse(slot, VIRTIO_BLK_S_IOERR, GuestRule::kNoMedium, request.header.type);
  }
  dispatch(slot, request);
}

void BlkQueue::count_request(DiskRequestKind kind) { counters_.requests[static_cast<size_t>(kind)].add(); }

void BlkQueue::dispatch(Slot& slot, const ParsedRequest& request) {
  switch (request.header.type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT: return transfer(slot, request);
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_FLUSH_OUT: return flush(slot);
    case VIRTIO_BLK_T_GET_ID: return get_id(slot, request);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES: return start_segments(slot, request);
    default: return refuse(slot, VIRTIO_BLK_S_UNSUPP, GuestRule::kUnknownType, request.header.type);
  }
}

void BlkQueue::transfer(Slot& slot, const ParsedRequest& request) {
  const bool write = request.writes();
  const uint64_t bytes = request.data_bytes();
  if (const auto refusal = check_transfer(limits(), request)) {
    return refuse(slot, refusal->status, refusal->rule, refusal->detail);
  }
  if (bytes == 0) return finish(slot, VIRTIO_BLK_S_OK, 1);
  slot.io.op = write ? BlockOp::kWrite : BlockOp::kRead;
  slot.io.stable = write && state_.write_through();
  slot.io.offset = slot.offset = request.header.sector << VIRTIO_BLK_SECTOR_SHIFT;
  slot.io.length = bytes;
  slot.io.iov = write ? request.out : request.in;
  slot.written_if_ok = write ? 1 : static_cast<uint32_t>(bytes + 1);
  submit_later(slot);
}

void BlkQueue::flush(Slot& slot) {
  if (state_.read_only) return finish(slot, VIRTIO_BLK_S_OK, 1);
  slot.io.op = BlockOp::kFlush;
  slot.io.offset = slot.io.length = 0;
  slot.io.iov = {};
  slot.written_if_ok = 1;
  submit_later(slot);
}

void BlkQueue::get_id(Slot& slot, const ParsedRequest& request) {
  const size_t written = copy_to_buffers(request.in, serial_.data(), serial_.size());
  finish(slot, VIRTIO_BLK_S_OK, static_cast<uint32_t>(written + 1));
}

void BlkQueue::start_segments(Slot& slot, const ParsedRequest& request) {
  if (const auto refusal = read_segments(limits(), request, slot.segments, slot.segment_count)) {
    return refuse(slot, refusal->status, refusal->rule, refusal->detail);
  }
  slot.io.op = request.header.type == VIRTIO_BLK_T_DISCARD ? BlockOp::kDiscard : BlockOp::kWriteZeroes;
  slot.segment = 0;
  slot.written_if_ok = 1;
  if (!prepare_segment(slot)) return finish(slot, VIRTIO_BLK_S_OK, 1);
  submit_later(slot);
}

// Loads the next segment that has sectors into the slot's request. False: there is none left.
bool BlkQueue::prepare_segment(Slot& slot) {
  while (slot.segment < slot.segment_count && slot.segments[slot.segment].num_sectors == 0) slot.segment++;
  if (slot.segment == slot.segment_count) return false;
  const VirtioBlkDiscardWriteZeroes& segment = slot.segments[slot.segment++];
  slot.io.stable = slot.io.op == BlockOp::kWriteZeroes && state_.write_through();
  slot.io.may_unmap = (segment.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0;
  slot.io.offset = slot.offset = segment.sector << VIRTIO_BLK_SECTOR_SHIFT;
  slot.io.length = uint64_t{segment.num_sectors} << VIRTIO_BLK_SECTOR_SHIFT;
  slot.io.iov = {};
  return true;
}

void BlkQueue::submit_later(Slot& slot) {
  slot.io.sink = this;
  slot.io.error = 0;
  slot.io.context = &slot;
  batch_.push_back(&slot.io);
  batch_bytes_ += slot.io.length;
  if (batch_.size() == kSubmitGroup || (lent_ && batch_bytes_ >= kKickBytes)) submit_batch();
}

void BlkQueue::submit_batch() {
  group_begun_ = {};
  batch_bytes_ = 0;
  if (batch_.empty()) return;
  channel_->submit(batch_);
  batch_.clear();
}

void BlkQueue::request_done(BlockRequest& io) {
  if (io.context == nullptr) {
    // SAFETY: a request without a slot is a HostFlush, made by flush_disk().
    const std::unique_ptr<HostFlush> flush(static_cast<HostFlush*>(&io));
    return flush->done(io.error);
  }
  Slot& slot = *static_cast<Slot*>(io.context);
  if (io.error != 0) {
    note_host_error(slot);
    return finish(slot, VIRTIO_BLK_S_IOERR, 1);
  }
  if ((io.op == BlockOp::kDiscard || io.op == BlockOp::kWriteZeroes) && prepare_segment(slot)) {
    BlockRequest* next = &io;
    return channel_->submit({&next, 1});
  }
  if (io.op == BlockOp::kRead) counters_.bytes_read.add(io.length);
  if (io.op == BlockOp::kWrite) counters_.bytes_written.add(io.length);
  finish(slot, VIRTIO_BLK_S_OK, slot.written_if_ok);
}

void BlkQueue::note_host_error(const Slot& slot) {
  const BlockRequest& io = slot.io;
  const auto operation = static_cast<size_t>(io.op), error = static_cast<size_t>(io.error);
  LoopCounter& counter = counters_.host_errors[operation][error < BlkCounters::kErrnos ? error : 0];
  counter.add();
  if (!worth_telling(counter.value())) return;
  const std::string where = io.op == BlockOp::kFlush
                                ? std::string()
                                : concat(" of ", io.length >> VIRTIO_BLK_SECTOR_SHIFT, " sectors at sector ",
                                         slot.offset >> VIRTIO_BLK_SECTOR_SHIFT);
  log(LogLevel::kError, concat(guest_errors_.name(), ": ", kDiskOperationNames[operation], where,
                               " failed: ", std::generic_category().message(io.error), " (", errno_name(io.error),
                               ", number ", counter.value(), ")"));
}

void BlkQueue::refuse(Slot& slot, uint8_t status, GuestRule rule, uint64_t detail) {
  guest_errors_.record(rule, detail);
  finish(slot, status, 1);
}

// The status byte is the last byte written; the used entry follows it, and the index after that.
void BlkQueue::finish(Slot& slot, uint8_t status, uint32_t written) {
  copy_to_shared(slot.buffers.status, &status, 1);
  slot.chain.complete(written);
  in_flight_--;
  if (status == VIRTIO_BLK_S_IOERR) counters_.io_errors.add();
  if (status == VIRTIO_BLK_S_UNSUPP) counters_.unsupported.add();
  count_completion(slot.begun);
}

void BlkQueue::count_completion(Clock::time_point begun) {
  unpublished_begun_[unpublished_] = begun;
  unsignalled_++;
  if (++unpublished_ < kPublishGroup) return;
  publish();
  // Half of what the driver has with us is done: it wakes up while we do the other half.
  if (unsignalled_ >= std::min(kSignalGroup, in_flight_ + ring_.waiting())) signal();
}

void BlkQueue::batch_done() {
  signal();
  if (in_flight_ == 0 && stopped_) {
    ring_.stop();
    std::exchange(stopped_, nullptr)();
  }
}

void BlkQueue::publish() {
  if (unpublished_ == 0) return;
  ring_.publish();
  const auto now = Clock::now();
  for (unsigned i = 0; i < unpublished_; i++) {
    counters_.latency[latency_bucket(static_cast<uint64_t>((now - unpublished_begun_[i]).count()))].add();
  }
  unpublished_ = 0;
}

void BlkQueue::signal() {
  publish();
  unsignalled_ = 0;
  if (!ring_.wants_interrupt()) return;
  counters_.interrupts.add();
  interrupts_->queue_interrupt(index_);
}

BlkLimits BlkQueue::limits() const {
  return {.capacity = state_.capacity.load(std::memory_order_relaxed),
          .accepted = state_.accepted.load(std::memory_order_relaxed),
          .read_only = state_.read_only,
          .max_discard_sectors = state_.max_discard_sectors,
          .max_discard_segments = state_.max_discard_segments};
}

}  // namespace acrn
