// BlkQueue: one virtqueue of a virtio-blk device, one channel to the disk, and a slot for each request that the ring
// can hold. Everything happens on the queue's event loop and takes no lock, but for what is marked as "any thread".
//
// A turn takes chains from the ring: serve(). It begins with a kick (on_kick(), on the loop or on the thread that
// kicks, which has borrowed the loop), with a look of the loop that polls (poll()), with a tick of the timer that polls
// (on_tick()), when a kick's leftover was not taken by another one (on_leftover()), and in resume(). TurnPolicy says
// how long it may be and who looks next.
//
// A request that failed may be held until it is tried again, from the chain on, which is read anew then
// (docs/adr/0035): hold() and retry_held().
//
// A request's life: serve -> process_available -> take_chains -> start_request -> dispatch -> transfer, flush, get_id
// or start_segments -> the batch -> the channel -> request_done (for each segment of a list) -> finish -> the publisher
// -> the driver. A request that needs no disk, or is refused, goes from its place in that chain directly to finish.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "acrn/block/blockif.h"
#include "acrn/event/event_loop.h"
#include "acrn/virtio/virtio_device.h"
#include "hw/pci/virtio/blk_counters.h"
#include "hw/pci/virtio/blk_request.h"
#include "hw/pci/virtio/blk_slot.h"
#include "hw/pci/virtio/blk_state.h"
#include "hw/pci/virtio/completion_publisher.h"
#include "hw/pci/virtio/host_flush.h"
#include "hw/pci/virtio/leftover_timer.h"
#include "hw/pci/virtio/overdue_requests.h"
#include "hw/pci/virtio/queue_trace.h"
#include "hw/pci/virtio/submit_batch.h"
#include "hw/pci/virtio/turn_policy.h"
#include "hw/pci/virtio/virtqueue.h"

namespace acrn {

class BlkQueue final : private BlockSink, private Poller {
 public:
  // At most `size` ring entries; `serial`: the ID while there is no disk. Device, guest errors, interrupts and loop
  // outlive the queue.
  static Result<std::unique_ptr<BlkQueue>> create(unsigned index, uint16_t size, const BlkSerial& serial,
                                                  const BlkState& device, GuestErrors& guest_errors, EventLoop& loop);
  // Before the first start; the trace outlives the queue.
  void set_trace(DeviceTrace& trace) { queue_trace_ = std::make_unique<QueueTrace>(trace, index_); }

  // Any thread.
  EventLoop& loop() { return loop_; }
  uint16_t max_size() const { return max_size_; }
  void connect(VirtioInterruptSink& interrupts) { completions_.connect(interrupts); }  // before the first start
  void kick();
  int kick_fd() const { return device_.kick == KickMode::kInline ? -1 : kicked_->fd(); }
  QueueStats stats() const { return counters_.snapshot(); }

  // On the loop.
  // False: the ring is not in the map, which has been counted.
  bool start(const std::shared_ptr<const MemoryMap>& map, const QueueSetup& setup);
  // Where a stopped queue would go on: see VirtioDevice::stop_queue(). Any thread that knows it has stopped.
  uint16_t next_index() const { return ring_.next_index(); }
  // Pops nothing more but what an earlier device has taken, which is in flight as well; calls `stopped` when nothing
  // is, possibly at once.
  void stop(std::function<void()> stopped) { end(State::kStopping, std::move(stopped)); }
  // The same, but what is held or was not taken yet stays in the in-flight log for the next device, if there is a log.
  void leave(std::function<void()> left) { end(ring_.logged() ? State::kLeaving : State::kStopping, std::move(left)); }
  // The same, for a while: resume() goes on where a running queue was, with the ring in that map. A ring that is not
  // there is waited for until a later resume().
  void suspend(std::function<void()> suspended);
  void resume(const std::shared_ptr<const MemoryMap>& map);
  // Gives the queue its disk, in two steps, so that a device has it on all of its queues or on none: a channel is
  // opened, and then used or dropped. Only while it has none.
  Result<void> open_channel(BlockBackend& backend);
  void use_channel(const BlkSerial& serial);
  void drop_channel() { opened_channel_.reset(); }
  // Tries again what was held (ErrorPolicy).
  void retry_held();
  // Tells `done` with 0 or an errno when every write that has completed is on stable storage; at once without a disk.
  void flush_disk(std::function<void(int)> done);
  // Lets go of disk and doorbell, before destruction. Nothing in flight.
  void close();

 private:
  using Clock = std::chrono::steady_clock;

  // The life of a queue (docs/adr/0024). Requests are in flight only in kRunning and the three states that drain.
  enum class State : uint8_t {
    kUnset,     // there has never been a ring
    kStopping,  // stop() waits for the requests in flight
    kLeaving,   // leave() does
    kStopped,   // there was a ring
    // From here on the driver has set up a ring and may kick.
    kRunning,
    kSuspending,   // suspend() waits for the requests in flight
    kSuspended,    // until resume()
    kRingMissing,  // resume() did not find the ring in guest RAM; a later one may
  };

  BlkQueue(unsigned index, uint16_t size, const BlkSerial& serial, const BlkState& device, GuestErrors& guest_errors,
           EventLoop& loop);

  // The life cycle.
  State state() const { return state_.load(std::memory_order_relaxed); }
  bool running() const { return state() == State::kRunning; }
  bool draining() const {
    return state() == State::kStopping || state() == State::kLeaving || state() == State::kSuspending;
  }
  void enter(State state) { state_.store(state, std::memory_order_relaxed); }
  void note_missing_ring(const MemoryMap& map);
  void start_timer();
  void end(State phase, std::function<void()> ended);
  void drain(State phase, std::function<void()> drained);
  void end_drain();
  void end_held();
  void carry_out_taken();

  // Turns.
  void on_notified();
  void on_kick(Site site);
  void on_event();
  void on_tick();
  void on_leftover();
  bool poll() override;
  bool wants_polling() const override { return ring_.running() && policy_.wants_polling(in_flight_); }
  bool prepare_sleep() override;
  void serve(Site site, TraceCause cause);
  TurnResult process_available(Site site, const TurnLimits& limits);
  void take_chains(const TurnLimits& limits, TurnResult& result);
  void schedule_remaining(Next next, unsigned left);
  void begin_batch();
  void end_batch();
  void read_settings();
  void record_kick_without_ring();
  void record_broken_ring();

  // Requests.
  void start_request(DescChain chain);
  void carry_out(BlkSlot& slot);
  void refuse_chain(BlkSlot& slot, bool good);
  void trace_chain(const BlkSlot& slot, const ParsedRequest* request);
  void count(BlkSlot& slot, DiskRequestKind kind);
  void dispatch(BlkSlot& slot, const ParsedRequest& request);
  void transfer(BlkSlot& slot, const ParsedRequest& request);
  void flush(BlkSlot& slot);
  void get_id(BlkSlot& slot, const ParsedRequest& request);
  void start_segments(BlkSlot& slot, const ParsedRequest& request);
  void submit(BlkSlot& slot);
  void refuse(BlkSlot& slot, const BlkRefusal& refusal);
  void finish(BlkSlot& slot, uint8_t status, uint32_t written);
  void fail(BlkSlot& slot);
  void hold(BlkSlot& slot);
  void request_done(BlockRequest& request) override;
  void batch_done() override;

  const unsigned index_;
  const uint16_t max_size_;  // ring entries
  const BlkState& device_;
  GuestErrors& guest_errors_;
  EventLoop& loop_;

  std::atomic<State> state_{State::kUnset};  // written on the loop; relaxed, since kick() only takes a hint from it
  // Why there is no ring: the rule that a kick breaks, and where the ring was to be. Relaxed, too: for the log alone.
  std::atomic<GuestRule> missing_ring_rule_{GuestRule::kKickBeforeRing};
  std::atomic<Gpa> missing_ring_{};
  std::function<void()> drained_;  // called at the end of the states that drain

  std::unique_ptr<Notifier> kicked_;
  std::unique_ptr<FdWatch> kick_watch_;  // of an eventfd that the VMM has, while there is a ring
  std::unique_ptr<Timer> poll_timer_;    // while the queue runs and is polled by time
  bool loop_polls_ = false;              // the loop calls poll() and prepare_sleep(), since the first start()
  bool left_to_kick_ = false;            // what is in the ring waits for the next kick, or the timer
  TurnPolicy policy_;
  LeftoverTimer leftover_timer_;
  OverdueRequests overdue_;

  std::unique_ptr<BlockChannel> opened_channel_;  // not used yet
  bool needs_own_thread_ = false;                 // of the opened one's disk
  std::unique_ptr<BlockChannel> channel_;         // null: no medium
  BlkSerial serial_;
  HostFlush host_flush_;

  std::unique_ptr<QueueTrace> queue_trace_;  // null: the disk has no trace
  QueueTrace* trace_ = nullptr;              // the same while it is on; set by read_settings()
  Virtqueue ring_;
  BlkSlots slots_;
  BlkCounters counters_;
  LoopGauge& in_flight_ = counters_.in_flight;
  LoopGauge& held_ = counters_.held;       // slots; not in flight
  Clock::time_point waiting_since_{};      // when the chains were seen that are taken now
  std::optional<Clock::time_point> left_;  // when a turn left chains that were not seen yet
  SubmitBatch batch_;
  CompletionPublisher completions_;
};

}  // namespace acrn
