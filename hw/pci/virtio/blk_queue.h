// BlkQueue: one virtqueue of a virtio-blk device, one channel to the disk, and a slot for each request that the
// ring can hold. Everything here happens on the queue's event loop and takes no lock; others post() to it.
//
// A request's life: on_kick or on_tick -> drain -> start_request -> (transfer | flush | get_id | segments) -> the
// channel
// -> request_done -> finish -> publish.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/event/event_loop.h"
#include "acrn/virtio/virtio_device.h"
#include "hw/pci/virtio/blk_counters.h"
#include "hw/pci/virtio/blk_request.h"
#include "hw/pci/virtio/virtqueue.h"

namespace acrn {

// What all queues of a device read and its control calls change. Any thread.
struct BlkState {
  std::atomic<uint64_t> accepted{0};   // features
  std::atomic<uint64_t> capacity{0};   // 512-byte sectors
  std::atomic<bool> writeback{false};  // the guest's wish, in the configuration space
  bool writeback_option = false;       // the operator's; constant from here on
  bool read_only = false;
  KickMode kick = KickMode::kAuto;  // constant, as all below
  uint32_t poll_nanoseconds = 0;    // 0: kicks
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_segments = 0;

  // True: a write completes only when it is on stable storage.
  bool write_through() const;
};

using BlkSerial = std::array<char, VIRTIO_BLK_ID_BYTES>;  // zero padded

class BlkQueue final : private BlockSink, private Poller {
 public:
  // `size` ring entries; `serial`: the ID while there is no disk. State, guest errors, interrupts and loop outlive the
  // queue.
  static Result<std::unique_ptr<BlkQueue>> create(unsigned index, uint16_t size, const BlkSerial& serial,
                                                  const BlkState& state, GuestErrors& guest_errors, EventLoop& loop);

  // Any thread.
  EventLoop& loop() { return loop_; }
  uint16_t size() const { return ring_.size(); }
  void connect(VirtioInterruptSink& interrupts) { interrupts_ = &interrupts; }  // before the first start
  void kick();
  int kick_fd() const { return state_.kick == KickMode::kInline ? -1 : kicked_->fd(); }
  QueueStats stats() const { return counters_.snapshot(); }

  // On the loop.
  // False: the ring is not in the map, which has been counted.
  bool start(const std::shared_ptr<const MemoryMap>& map, Gpa ring);
  // Pops nothing more; calls `stopped` when nothing is in flight, possibly at once.
  void stop(std::function<void()> stopped);
  // The same, for a while: resume() goes on where a running queue was, with the ring in that map. A ring that is not
  // there is waited for until a later resume().
  void suspend(std::function<void()> suspended);
  void resume(const std::shared_ptr<const MemoryMap>& map);
  // Gives the queue its disk, in two steps, so that a device has it on all of its queues or on none: a channel is
  // opened, and then used or dropped. Only while it has none.
  Result<void> open_channel(BlockBackend& backend);
  void use_channel(const BlkSerial& serial);
  void drop_channel() { opened_channel_.reset(); }
  // Tells `done` with 0 or an errno when every write that has completed is on stable storage; at once without a disk.
  void flush_disk(std::function<void(int)> done);
  // Lets go of disk and doorbell, before destruction. Nothing in flight.
  void close();

 private:
  using Clock = std::chrono::steady_clock;

  // The guest works while we work: it sees completions in small groups, not at the end of a batch, and the engine
  // gets requests in groups while the rest is still being parsed (docs/adr/0009).
  static constexpr unsigned kPublishGroup = 4;
  static constexpr unsigned kSubmitGroup = 8;
  static constexpr uint64_t kKickBytes = 128 << 10;  // the same while a kick is served, whose time is short
  // An interrupt is dearer for both than a look at the used index, so a driver that sleeps is woken for a few groups.
  static constexpr unsigned kSignalGroup = 16;

  // One request from parse to status byte; the slot's index is its chain's head.
  struct Slot {
    DescChain chain;
    ChainBuffers buffers;
    Clock::time_point begun;
    BlockRequest io;
    uint64_t offset = 0;                              // bytes: where on the disk, whatever a channel makes of it
    uint32_t written_if_ok = 0;                       // used length of a success
    std::span<VirtioBlkDiscardWriteZeroes> segments;  // preallocated
    size_t segment = 0, segment_count = 0;            // the one in work, and how many there are
  };

  // The host's own flush: a request without a slot.
  struct HostFlush : BlockRequest {
    std::function<void(int)> done;
  };

  BlkQueue(unsigned index, uint16_t size, const BlkSerial& serial, const BlkState& state, GuestErrors& guest_errors,
           EventLoop& loop);

  void start_polling();
  void finish_requests(std::function<void()> stopped);
  void note_kick_without_ring();
  void on_kick();
  void on_alarm();
  void set_alarm();
  void on_tick();
  bool poll() override;
  bool pays() const override { return in_flight_ != 0 || (ring_.running() && !was_lent_); }
  bool rest() override;
  void read_features();
  void drain();
  unsigned take_turn(Clock::time_point end, bool& over);
  void leave_over();
  unsigned share_of_a_turn() const;
  void note_turn(unsigned popped, Clock::time_point begin);
  Clock::time_point begun();
  void start_request(DescChain chain);
  void count_request(DiskRequestKind kind);
  void note_broken_ring();
  void dispatch(Slot& slot, const ParsedRequest& request);
  void transfer(Slot& slot, const ParsedRequest& request);
  void flush(Slot& slot);
  void get_id(Slot& slot, const ParsedRequest& request);
  void start_segments(Slot& slot, const ParsedRequest& request);
  bool prepare_segment(Slot& slot);
  void submit_later(Slot& slot);
  void submit_batch();
  void note_host_error(const Slot& slot);
  void refuse(Slot& slot, uint8_t status, GuestRule rule, uint64_t detail);
  void finish(Slot& slot, uint8_t status, uint32_t written);
  void count_completion(Clock::time_point begun);
  void publish();
  void signal();
  BlkLimits limits() const;

  void request_done(BlockRequest& io) override;
  void batch_done() override;

  const unsigned index_;
  const BlkState& state_;
  GuestErrors& guest_errors_;
  EventLoop& loop_;
  VirtioInterruptSink* interrupts_ = nullptr;
  std::unique_ptr<Notifier> kicked_;
  std::atomic<bool> set_up_{false};  // relaxed, as the next: for the blame alone
  std::atomic<GuestRule> kick_without_ring_{
      GuestRule::kKickBeforeRing};  // what a kick of a queue that is not set up breaks
  bool was_set_up_ = false;
  std::unique_ptr<Alarm> left_over_;              // for what a kick has left in the ring
  bool alarm_set_ = false, came_back_ = false;    // came: another kick since it was set
  bool late_ = false;                             // the last turn took longer than it should
  bool loop_polls_ = false;                       // for us, between two sleeps
  bool lent_ = false;                             // the loop is, to a thread that kicks
  bool was_lent_ = false;                         // to the last one, which left nothing to wait for
  std::atomic<bool> lending_pays_{true};          // relaxed: a hint for the next kick
  std::chrono::nanoseconds cost_{1000};           // of a request that is done at once, averaged
  std::unique_ptr<Timer> poll_timer_;             // while the queue runs and is polled by time
  std::unique_ptr<BlockChannel> opened_channel_;  // not used yet
  std::unique_ptr<BlockChannel> channel_;         // null: no medium
  BlkSerial serial_;

  Virtqueue ring_;
  std::vector<Slot> slots_;
  std::unique_ptr<iovec[]> buffer_storage_;
  std::unique_ptr<std::byte[]> segment_storage_;
  std::vector<BlockRequest*> batch_;  // parsed and not yet submitted; capacity reserved
  uint64_t batch_bytes_ = 0;
  unsigned in_flight_ = 0;
  unsigned unpublished_ = 0;                                        // completed, used.idx not moved yet
  std::array<Clock::time_point, kPublishGroup> unpublished_begun_;  // when those were taken
  Clock::time_point group_begun_{};  // of the requests being parsed; none: the clock was not read for them yet
  unsigned unsignalled_ = 0;         // completed, the driver's wish for an interrupt not looked at yet
  bool suspended_ = false;           // resume() is to go on
  bool ring_missing_ = false;        // the last resume() did not find it
  BlkCounters counters_;
  std::function<void()> stopped_;  // set while draining for a stop
};

}  // namespace acrn
