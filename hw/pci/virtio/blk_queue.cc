#include "hw/pci/virtio/blk_queue.h"

#include <cerrno>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"

namespace acrn {

using KickPause = Virtqueue::KickPause;
using KickPoint = Virtqueue::KickPoint;

BlkQueue::BlkQueue(unsigned index, uint16_t size, const BlkSerial& serial, const BlkState& device,
                   GuestErrors& guest_errors, EventLoop& loop)
    : index_(index),
      max_size_(size),
      device_(device),
      guest_errors_(guest_errors),
      loop_(loop),
      policy_(device.kick),
      overdue_(slots_, device, counters_, guest_errors.name(), loop),
      serial_(serial),
      ring_(guest_errors),
      slots_(size, device.max_discard_segments),
      completions_(ring_, counters_, index) {}

Result<std::unique_ptr<BlkQueue>> BlkQueue::create(unsigned index, uint16_t size, const BlkSerial& serial,
                                                   const BlkState& device, GuestErrors& guest_errors, EventLoop& loop) {
  std::unique_ptr<BlkQueue> queue(new BlkQueue(index, size, serial, device, guest_errors, loop));
  auto notifier = loop.make_short_notifier([raw = queue.get()] { raw->on_notified(); });
  if (!notifier) return notifier.error();
  queue->kicked_ = std::move(notifier).value();
  auto timer = loop.make_timer([raw = queue.get()] { raw->on_leftover(); });
  if (!timer) {
    loop.run([&] { queue->close(); });
    return timer.error();
  }
  queue->leftover_timer_.set_timer(std::move(timer).value());
  return queue;
}

Result<void> BlkQueue::open_channel(BlockBackend& backend) {
  ACRN_CHECK(loop_.is_current() && channel_ == nullptr);
  auto channel = backend.open_channel(loop_, max_size_ + 1u);  // and a flush of the host's
  if (!channel) return channel.error();
  opened_channel_ = std::move(channel).value();
  needs_own_thread_ = backend.info().needs_own_thread;
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
  host_flush_.start(*channel_, std::move(done));
  batch_done();  // for requests of the guest that were done inside submit()
}

void BlkQueue::close() {
  ACRN_CHECK(loop_.is_current() && in_flight_ == 0);
  if (loop_polls_) loop_.remove_poller(*this);
  poll_timer_.reset();
  channel_.reset();
  leftover_timer_.close();
  overdue_.close();
  kicked_.reset();
}

bool BlkQueue::start(const std::shared_ptr<const MemoryMap>& map, const QueueSetup& setup) {
  ACRN_CHECK(loop_.is_current() && in_flight_ == 0 && completions_.empty() && setup.size <= max_size_);
  if (!ring_.start(map, setup)) {
    note_missing_ring(*map);
    guest_errors_.record(ring_.why_missing(*map), raw(setup.ring.desc));
    if (state() != State::kUnset) enter(State::kStopped);
    return false;
  }
  counters_.stopped.store(false, std::memory_order_relaxed);
  waiting_since_ = Clock::now();  // of chains that an earlier device took
  left_.reset();
  left_to_kick_ = false;
  enter(State::kRunning);
  if (!loop_polls_) loop_polls_ = loop_.add_poller(*this);
  if (device_.poll_nanoseconds != 0) start_timer();
  if (setup.kick_fd >= 0) {
    kick_watch_ = loop_.watch_event(setup.kick_fd, [this] { on_event(); });
    serve(Site::kLoop, TraceCause::kStart);  // what came before
  }
  return true;
}

void BlkQueue::note_missing_ring(const MemoryMap& map) {
  missing_ring_.store(ring_.place().desc, std::memory_order_relaxed);
  missing_ring_rule_.store(ring_.why_missing(map), std::memory_order_relaxed);
}

void BlkQueue::start_timer() {
  auto timer = loop_.make_timer([this] { on_tick(); });
  if (!timer) {
    log(LogLevel::kWarning, concat("queue ", index_, ": ", timer.error().message, "; it waits for kicks instead"));
    return;
  }
  poll_timer_ = std::move(timer).value();
  poll_timer_->start_periodic(device_.poll_nanoseconds);
  read_settings();
  ring_.disable_kicks(KickPause::kPolling);
}

void BlkQueue::end(State phase, std::function<void()> ended) {
  ACRN_CHECK(loop_.is_current() && !draining());
  if (running() && phase == State::kStopping) carry_out_taken();
  missing_ring_rule_.store(GuestRule::kKickBeforeRing, std::memory_order_relaxed);
  counters_.stopped.store(false, std::memory_order_relaxed);
  if (state() == State::kUnset) return ended();
  drain(phase, std::move(ended));
}

void BlkQueue::suspend(std::function<void()> suspended) {
  ACRN_CHECK(loop_.is_current() && !draining());
  if (!running()) return suspended();
  drain(State::kSuspending, std::move(suspended));
}

void BlkQueue::resume(const std::shared_ptr<const MemoryMap>& map) {
  ACRN_CHECK(loop_.is_current() && !draining());
  if (state() != State::kSuspended && state() != State::kRingMissing) return;
  if (!ring_.resume(map)) {
    note_missing_ring(*map);
    return enter(State::kRingMissing);
  }
  enter(State::kRunning);
  if (device_.poll_nanoseconds != 0) start_timer();
  retry_held();
  serve(Site::kLoop, TraceCause::kStart);  // what came in between
}

void BlkQueue::retry_held() {
  ACRN_CHECK(loop_.is_current());
  if (!running() || held_ == 0) return;
  begin_batch();
  for (unsigned head = 0; head < ring_.size(); head++) {
    BlkSlot& slot = slots_[static_cast<uint16_t>(head)];
    if (!std::exchange(slot.held, false)) continue;
    held_--;
    in_flight_++;
    slot.times = {batch_.batch_time(), batch_.batch_time()};
    carry_out(slot);
  }
  end_batch();
}

// A driver, or the next device, that is told where the ring would go on takes all before that for done.
void BlkQueue::carry_out_taken() {
  begin_batch();
  while (auto chain = ring_.pop_taken()) start_request(std::move(*chain));
  end_batch();
}

// For requests outside of a turn.
void BlkQueue::begin_batch() {
  read_settings();
  batch_.set_batch_time(Clock::now());
}

void BlkQueue::end_batch() {
  batch_.flush(channel_.get());
  completions_.flush();
  if (ring_.broken()) record_broken_ring();
  if (in_flight_ != 0) overdue_.watch();
  if (trace_ != nullptr) trace_->commit();
}

void BlkQueue::drain(State phase, std::function<void()> drained) {
  poll_timer_.reset();
  enter(phase);
  drained_ = std::move(drained);
  if (phase == State::kStopping) end_held();
  if (channel_ != nullptr) channel_->cancel_waiting(phase != State::kSuspending);
  completions_.flush();
  if (in_flight_ == 0) end_drain();  // else batch_done() does it
}

// A driver that takes its ring back, or whose ring is gone already, is not going to see a retry. The next device
// retries what one that leaves has held.
void BlkQueue::end_held() {
  for (unsigned head = 0; held_ != 0; head++) {
    BlkSlot& slot = slots_[static_cast<uint16_t>(head)];
    if (!std::exchange(slot.held, false)) continue;
    held_--;
    if (!ring_.running() || state() == State::kLeaving) {
      ring_.abandon(std::move(slot.chain));
      continue;
    }
    in_flight_++;
    finish(slot, VIRTIO_BLK_S_IOERR, 1);
  }
}

void BlkQueue::end_drain() {
  if (state() == State::kLeaving) end_held();
  ring_.stop();
  if (state() != State::kSuspending) kick_watch_.reset();
  enter(state() != State::kSuspending ? State::kStopped : State::kSuspended);
  std::exchange(drained_, nullptr)();
}

// The loop need not be woken for what is done at once: the kicking thread does it.
void BlkQueue::kick() {
  if (state() < State::kRunning) return record_kick_without_ring();
  const LoopLease lease = policy_.inline_ok() ? loop_.try_borrow() : LoopLease();
  if (!lease) return kicked_->notify();
  on_kick(Site::kKick);
}

// Perhaps an old one, for an earlier ring.
void BlkQueue::on_event() {
  counters_.kicks.add();
  policy_.record_event();
  if (running()) serve(Site::kLoop, TraceCause::kKick);
}

// A borrower serves the ring as a kick's thread does, or leaves it to the loop's.
void BlkQueue::on_notified() {
  if (!loop_.is_borrowed()) return on_kick(Site::kLoop);
  policy_.inline_ok() ? on_kick(Site::kKick) : kicked_->notify();
}

void BlkQueue::on_kick(Site site) {
  counters_.kicks.add();
  switch (state()) {
    case State::kRunning:
      serve(site, site == Site::kKick ? TraceCause::kKickInline : TraceCause::kKick);
      if (ring_.is_blank()) ring_.record_error(GuestRule::kRingBlank, raw(ring_.place().desc));
      return;
    case State::kUnset:
    case State::kRingMissing: return record_kick_without_ring();
    // Rung while the ring was there, perhaps. resume() looks at it.
    case State::kStopping:
    case State::kLeaving:
    case State::kStopped:
    case State::kSuspending:
    case State::kSuspended: return;
  }
}

void BlkQueue::record_kick_without_ring() {
  const GuestRule rule = missing_ring_rule_.load(std::memory_order_relaxed);
  const Gpa ring = missing_ring_.load(std::memory_order_relaxed);
  guest_errors_.record(rule, rule == GuestRule::kKickBeforeRing ? index_ : raw(ring));
}

void BlkQueue::on_tick() {
  counters_.polls.add();
  serve(Site::kLoop, TraceCause::kTimer);
}

void BlkQueue::on_leftover() {
  if (!leftover_timer_.should_serve_on_expiry(running() && ring_.has_more())) return;
  policy_.record_absence();
  serve(Site::kLoop, TraceCause::kLeftover);
}

bool BlkQueue::poll() {
  if (!running() || poll_timer_ != nullptr || left_to_kick_ || !ring_.has_more()) return false;
  serve(Site::kLoop, TraceCause::kPoll);
  return true;
}

bool BlkQueue::prepare_sleep() {
  return running() && poll_timer_ == nullptr && !left_to_kick_ && ring_.enable_kicks(KickPoint::kNextChain);
}

// What holds for a turn: what the driver has accepted, and whether there is a trace.
void BlkQueue::read_settings() {
  const uint64_t features = device_.accepted.load(std::memory_order_relaxed);
  ring_.set_features((features & feature(VIRTIO_RING_F_INDIRECT_DESC)) != 0,
                     (features & feature(VIRTIO_RING_F_EVENT_IDX)) != 0);
  QueueTrace* const trace = queue_trace_ != nullptr && queue_trace_->on() ? queue_trace_.get() : nullptr;
  if (trace == trace_) return;
  trace_ = trace;
  ring_.set_trace(trace);
  completions_.set_trace(trace);
}

// One turn of a running queue.
void BlkQueue::serve(Site site, TraceCause cause) {
  read_settings();
  const auto start = Clock::now();
  const unsigned waiting = ring_.waiting();
  if (trace_ != nullptr) trace_->turn(cause, start, waiting, ring_.next_index());
  left_to_kick_ = false;
  const TurnLimits limits = policy_.begin(site, waiting, ring_.size(), start);
  batch_.set_flush_bytes(limits.flush_bytes);
  batch_.set_batch_time(start);
  TurnResult result = process_available(site, limits);
  if (ring_.broken()) record_broken_ring();
  result.in_flight = in_flight_;
  if (in_flight_ != 0) overdue_.watch();
  result.needs_loop = in_flight_ != 0 && needs_own_thread_;
  if (in_flight_ == 0 && result.chains != 0) {
    const auto published = completions_.published_at();
    result.duration = (published > start ? published : Clock::now()) - start;
  }
  schedule_remaining(policy_.end(site, result), waiting - result.chains);
  if (trace_ != nullptr) trace_->commit();
}

// Starts what the ring has, within the limits.
TurnResult BlkQueue::process_available(Site site, const TurnLimits& limits) {
  TurnResult result;
  for (;;) {
    ring_.disable_kicks(KickPause::kTurn);
    take_chains(limits, result);
    batch_.flush(channel_.get());
    completions_.flush();
    if (poll_timer_ != nullptr) {
      ring_.disable_kicks(KickPause::kPolling);  // the rest is for the next tick
      return result;
    }
    if (result.past_deadline || result.chains >= limits.chains) result.remaining = ring_.waiting();
    if (result.remaining != 0) {
      if (ring_.seen() == 0) left_ = batch_.batch_time();
      return result;
    }
    // A loop that polls looks again, and calls prepare_sleep() before it no longer does.
    if (loop_polls_ && site == Site::kLoop) return result;
    if (!ring_.enable_kicks(KickPoint::kNextChain)) return result;
    batch_.set_batch_time(Clock::now());
  }
}

void BlkQueue::take_chains(const TurnLimits& limits, TurnResult& result) {
  while (result.chains < limits.chains && !result.past_deadline) {
    if (ring_.seen() == 0) waiting_since_ = std::exchange(left_, std::nullopt).value_or(batch_.batch_time());
    if (trace_ != nullptr) trace_->leave_chain();
    auto chain = ring_.pop();
    if (!chain) return;
    result.chains++;
    start_request(std::move(*chain));
    // When a batch has just been submitted, or so many requests have been refused, time has passed.
    if (!batch_.empty() && result.chains % SubmitBatch::kRequests != 0) continue;
    const auto now = Clock::now();
    result.past_deadline = now > limits.deadline;
    if (batch_.empty()) batch_.set_batch_time(now);
  }
}

// `left`: chains of those that the turn began with.
void BlkQueue::schedule_remaining(Next next, unsigned left) {
  if (next == Next::kDone) return;
  // A driver that has added some since may have answered to all that it was shown, and sleep.
  left_to_kick_ = next == Next::kNextKick && !ring_.enable_kicks(KickPoint::kBeyondRing) && ring_.waiting() == left;
  left_to_kick_ ? leftover_timer_.arm() : kicked_->notify();
}

void BlkQueue::record_broken_ring() {
  if (counters_.stopped.exchange(true, std::memory_order_relaxed)) return;
  counters_.stops.add();
  guest_errors_.record_stop(index_);
}

void BlkQueue::start_request(DescChain chain) {
  BlkSlot& slot = slots_[chain.head()];
  if (slot.chain.pending()) {
    // The request in flight keeps slot and status byte, and this one has none of its own.
    ring_.record_error(GuestRule::kHeadInFlight, chain.head());
    return ring_.drop_without_status(std::move(chain));
  }
  slot.chain = std::move(chain);
  slot.retried = false;
  slot.times = {waiting_since_, batch_.batch_time()};
  in_flight_++;
  carry_out(slot);
}

void BlkQueue::carry_out(BlkSlot& slot) {
  if (trace_ != nullptr) trace_->begin_chain(slot.chain.head());
  const bool good = ring_.read_chain(slot.chain.head(), slot.buffers);
  if (!good || slot.buffers.status == nullptr) return refuse_chain(slot, good);
  const ParsedRequest request = parse_request(slot.buffers);
  if (trace_ != nullptr) trace_chain(slot, request.broken != GuestRule::kHeaderTooShort ? &request : nullptr);
  count(slot, request.broken ? DiskRequestKind::kOther : kind_of(request.header.type));
  if (request.broken) return refuse(slot, {VIRTIO_BLK_S_IOERR, *request.broken, slot.chain.head()});
  if (channel_ == nullptr && request.header.type != VIRTIO_BLK_T_GET_ID) {
    return refuse(slot, {VIRTIO_BLK_S_IOERR, GuestRule::kNoMedium, request.header.type});
  }
  dispatch(slot, request);
}

// One that must not be carried out, or that ends without a byte for its status although it is `good`.
void BlkQueue::refuse_chain(BlkSlot& slot, bool good) {
  if (trace_ != nullptr) trace_chain(slot, nullptr);
  if (slot.buffers.status == nullptr) {
    if (good) ring_.record_error(GuestRule::kStatusMissing, slot.chain.head());
    in_flight_--;
    return ring_.drop_without_status(std::move(slot.chain));
  }
  count(slot, DiskRequestKind::kOther);
  finish(slot, VIRTIO_BLK_S_IOERR, 1);
}

// `request`: null if its header could not be read.
void BlkQueue::trace_chain(const BlkSlot& slot, const ParsedRequest* request) {
  const auto flags =
      static_cast<uint8_t>((slot.retried ? TraceChain::kRetried : 0) | (request == nullptr ? TraceChain::kRefused : 0));
  trace_->end_chain(slot.times.taken, slot.times.waiting_since, static_cast<uint16_t>(ring_.next_index() - 1), flags,
                    request != nullptr ? &request->header : nullptr);
}

void BlkQueue::count(BlkSlot& slot, DiskRequestKind kind) {
  slot.kind = kind;
  if (!slot.retried) counters_.count(kind);
}

void BlkQueue::dispatch(BlkSlot& slot, const ParsedRequest& request) {
  switch (request.header.type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT: return transfer(slot, request);
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_FLUSH_OUT: return flush(slot);
    case VIRTIO_BLK_T_GET_ID: return get_id(slot, request);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES: return start_segments(slot, request);
    default: return refuse(slot, {VIRTIO_BLK_S_UNSUPP, GuestRule::kUnknownType, request.header.type});
  }
}

void BlkQueue::transfer(BlkSlot& slot, const ParsedRequest& request) {
  if (const auto refusal = check_transfer(device_.limits(), request)) return refuse(slot, *refusal);
  if (request.data_bytes() == 0) return finish(slot, VIRTIO_BLK_S_OK, 1);
  slot.prepare_transfer(request, request.writes() && device_.write_through());
  submit(slot);
}

void BlkQueue::flush(BlkSlot& slot) {
  if (device_.read_only) return finish(slot, VIRTIO_BLK_S_OK, 1);
  slot.prepare_flush();
  submit(slot);
}

void BlkQueue::get_id(BlkSlot& slot, const ParsedRequest& request) {
  const size_t written = copy_to_buffers(request.in, serial_.data(), serial_.size());
  finish(slot, VIRTIO_BLK_S_OK, static_cast<uint32_t>(written + 1));
}

void BlkQueue::start_segments(BlkSlot& slot, const ParsedRequest& request) {
  if (const auto refusal = slot.load_segments(device_.limits(), request)) return refuse(slot, *refusal);
  if (!slot.prepare_segment(device_.write_through())) return finish(slot, VIRTIO_BLK_S_OK, 1);
  submit(slot);
}

void BlkQueue::submit(BlkSlot& slot) {
  slot.sink = this;
  slot.error = 0;
  if (trace_ != nullptr) trace_->submit(batch_.batch_time(), slot, slot.chain.head(), slot.segment_index());
  if (batch_.push(slot)) batch_.flush(channel_.get());
}

void BlkQueue::request_done(BlockRequest& request) {
  BlkSlot& slot = static_cast<BlkSlot&>(request);  // the sink of slots alone
  if (slot.error != 0) return fail(slot);
  if (slot.has_segments() && slot.prepare_segment(device_.write_through())) {
    if (trace_ != nullptr) trace_->submit(Clock::now(), slot, slot.chain.head(), slot.segment_index());
    BlockRequest* next = &slot;
    channel_->submit({&next, 1});
    if (draining()) channel_->cancel_waiting(state() != State::kSuspending);
    return;
  }
  if (slot.op == BlockOp::kRead) counters_.bytes_read.add(slot.length);
  if (slot.op == BlockOp::kWrite) counters_.bytes_written.add(slot.length);
  finish(slot, VIRTIO_BLK_S_OK, slot.written_if_ok);
}

void BlkQueue::fail(BlkSlot& slot) {
  const bool cancelled = slot.error == ECANCELED && draining();
  if (trace_ != nullptr) trace_->failed(slot, slot.chain.head());
  if (!cancelled) counters_.record_host_error(guest_errors_.name(), device_.events, slot, slot.disk_offset);
  if (state() == State::kStopping || !(cancelled || device_.holds(slot.op, slot.error))) {
    return finish(slot, VIRTIO_BLK_S_IOERR, 1);
  }
  hold(slot);
  if (!cancelled && device_.events != nullptr) {
    device_.events->tell({DeviceEvent::Kind::kRequestHeld, kDiskOperationNames[static_cast<size_t>(slot.op)].data(),
                          held_, static_cast<uint64_t>(slot.error)});
  }
}

void BlkQueue::hold(BlkSlot& slot) {
  slot.held = slot.retried = true;
  slot.overdue = false;  // it has ended, by failing
  if (trace_ != nullptr) trace_->held(slot.chain.head());
  held_++;
  in_flight_--;
}

void BlkQueue::refuse(BlkSlot& slot, const BlkRefusal& refusal) {
  ring_.record_error(refusal.rule, refusal.detail);
  finish(slot, refusal.status, 1);
}

// The status byte is the last byte written; the used entry follows it, and the index after that.
void BlkQueue::finish(BlkSlot& slot, uint8_t status, uint32_t written) {
  if (slot.overdue) overdue_.record_end(slot);
  copy_to_shared(slot.buffers.status, &status, 1);
  if (trace_ != nullptr) trace_->used(slot.chain.head(), status, written);
  slot.chain.complete(written);
  in_flight_--;
  if (status == VIRTIO_BLK_S_IOERR) counters_.io_errors.add();
  if (status == VIRTIO_BLK_S_UNSUPP) counters_.unsupported.add();
  completions_.add(slot.kind, slot.times, slot.length, in_flight_);
}

void BlkQueue::batch_done() {
  completions_.flush();
  if (trace_ != nullptr) trace_->commit();
  if (in_flight_ == 0 && draining()) end_drain();
}

}  // namespace acrn
