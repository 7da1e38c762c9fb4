// Virtqueue: the device's side of one split ring (virtio 0.9.5 2.3). DescChain: the right and the duty to return
// one chain, once. Both belong to one event loop and take no lock. What a driver gets wrong is counted and, where
// the ring itself cannot be trusted any more, stops the queue until it is set up again; it never aborts.
// tests/models/kicks.pml is a model of kicks, interrupts and resets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "acrn/base/check.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/ring_layout.h"
#include "acrn/virtio/virtio_device.h"

namespace acrn {

class QueueTrace;
class Virtqueue;

// A chain taken from the available ring. Its owner calls complete() exactly once.
class DescChain {
 public:
  DescChain() = default;
  DescChain(DescChain&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)), head_(other.head_) {}
  DescChain& operator=(DescChain&& other) noexcept {
    ACRN_CHECK(queue_ == nullptr);
    queue_ = std::exchange(other.queue_, nullptr);
    head_ = other.head_;
    return *this;
  }
  ~DescChain() { ACRN_CHECK(queue_ == nullptr); }

  bool pending() const { return queue_ != nullptr; }
  uint16_t head() const { return head_; }
  // Puts it on the used ring; `written`: bytes that the device wrote to it. The driver sees it at publish().
  void complete(uint32_t written);

 private:
  friend class Virtqueue;
  DescChain(Virtqueue& queue, uint16_t head) : queue_(&queue), head_(head) {}

  Virtqueue* queue_ = nullptr;
  uint16_t head_ = 0;
};

// The buffers of one chain, in storage that its slot preallocated: first the readable ones, then the writable.
struct ChainBuffers {
  // Descriptors of an indirect table. More than a ring of 64 has: Windows' drivers take up to 515 whatever the ring's
  // size.
  static constexpr size_t kMaxTable = 1024;
  // A buffer that crosses from one region of RAM into the next takes more than one vector.
  static constexpr size_t kCrossings = kMaxTable;
  static constexpr size_t kVectors = kMaxTable + kCrossings;

  std::span<iovec> storage;           // kVectors
  size_t readable = 0, writable = 0;  // buffers; none is empty
  uint64_t readable_bytes = 0, writable_bytes = 0;
  // The last writable byte of the chain. Null: there is none, or it cannot be reached, or the chain's end is not known.
  std::byte* status = nullptr;

  std::span<iovec> readable_part() const { return storage.first(readable); }
  std::span<iovec> writable_part() const { return storage.subspan(readable, writable); }
};

class Virtqueue {
 public:
  // The guest errors outlive the queue.
  explicit Virtqueue(GuestErrors& guest_errors) : guest_errors_(guest_errors) {}

  // Ring entries; 0 before the first start.
  uint16_t size() const { return size_; }
  // Set up on a ring in RAM; a broken queue still is, but yields nothing.
  bool running() const { return map_ != nullptr; }

  // False: the ring's parts are not each wholly in one region of guest RAM.
  bool start(std::shared_ptr<const MemoryMap> map, const QueueSetup& setup);
  const RingPlace& place() const { return ring_; }
  // What it has taken and not used is written down for the next device.
  bool logged() const { return running() && inflight_ != nullptr; }
  // Where a stopped ring would go on. Nothing is in flight, so it is the used ring's, too.
  uint16_t next_index() const { return next_avail_; }
  // The rule by which the ring is not in that map.
  GuestRule why_missing(const MemoryMap& map) const;
  // A running ring in which the driver has written nothing yet.
  bool is_blank() const;
  void stop() { map_.reset(); }
  // Goes on with a stopped ring where it was, in another map. False: the ring is not in it.
  bool resume(std::shared_ptr<const MemoryMap> map) { return find_ring(std::move(map)); }
  void set_features(bool indirect, bool event_index) {
    indirect_ = indirect;
    event_index_ = event_index;
  }
  // Who is told of what the driver does; null: nobody.
  void set_trace(QueueTrace* trace) { trace_ = trace; }
  // A rule that the driver has broken, on the queue's loop.
  void record_error(GuestRule rule, uint64_t detail);

  enum class KickPause : uint8_t {
    kTurn,    // while the device takes chains anyway
    kPolling  // while a timer looks at the ring: a driver with the event index does not kick when its index wraps,
              // either
  };
  // Tells the driver not to kick. kPolling depends on the features and on where the driver is: repeated at each look.
  void disable_kicks(KickPause pause);
  enum class KickPoint : uint8_t {
    kNextChain,   // the chain that pop() takes next
    kBeyondRing,  // the first chain that the driver has not made available yet
  };
  // Asks for a kick when that chain is there. True: it is there already and may have come without a kick, so the
  // caller looks once more.
  bool enable_kicks(KickPoint point);

  // A look without a fence: chains may have come that it does not see yet.
  bool has_more() const { return waiting() != 0; }
  // How many; a hostile driver's answer may be more than the ring has.
  unsigned waiting() const {
    if (!running() || broken_) return 0;
    return taken_left_ + static_cast<uint16_t>(avail_.load16(kRingIndex, __ATOMIC_RELAXED) - next_avail_);
  }
  // Those of them that pop() has seen already. 0: it looks for new ones.
  unsigned seen() const { return static_cast<uint16_t>(avail_index_ - next_avail_); }
  // The next available chain.
  std::optional<DescChain> pop();
  // Of what an earlier device has taken, the next one that is to be carried out again; pop() begins with these.
  std::optional<DescChain> pop_taken();
  // Copies the chain's descriptors once, checks them and resolves its buffers. False: it must not be carried out, for a
  // reason that has been counted; of the buffers only `status` is known then.
  bool read_chain(uint16_t head, ChainBuffers& buffers);
  // For a chain without a status byte that could say that it failed. It never gets a used entry, since a driver could
  // take that for success; the queue is broken.
  void drop_without_status(DescChain chain);
  // For a chain that is not done when the ring is gone: nobody is told of it.
  static void abandon(DescChain chain) { chain.queue_ = nullptr; }
  // The queue yields nothing more until it is set up again.
  bool broken() const { return broken_; }

  // The index of the used ring, as the driver sees it.
  uint16_t used_index() const { return published_; }
  // Whether anything was published since wants_interrupt() was asked last.
  bool has_news() const { return signalled_ != published_; }
  // Shows the driver what was completed.
  void publish();
  // True: the driver wants an interrupt for what was published since this was asked last.
  bool wants_interrupt();

 private:
  friend class DescChain;

  struct Walk;

  bool find_ring(std::shared_ptr<const MemoryMap> map);
  void break_queue(GuestRule rule, uint64_t detail);
  void push_used(uint16_t head, uint32_t written);
  void store_kick_flag(uint16_t flag) {
    if (flag != kick_flag_) used_.store16(kRingFlags, flag, __ATOMIC_RELAXED);
    kick_flag_ = flag;
  }
  void store_avail_event(uint16_t index) { used_.store16(avail_event(size_), index, __ATOMIC_RELAXED); }
  bool find_end(uint16_t head, ChainBuffers& buffers, Walk& walk);
  bool enter_table(const VringDesc& desc, Walk& walk);
  void add_buffer(const VringDesc& desc, ChainBuffers& buffers, Walk& walk) const;
  void refuse_buffer(const VringDesc& desc, bool in_order, bool overflows, Walk& walk) const;
  std::byte* last_byte(const VringDesc& desc) const;
  size_t resolve(uint64_t address, uint32_t length, std::span<iovec> to) const;

  GuestErrors& guest_errors_;
  QueueTrace* trace_ = nullptr;
  uint16_t size_ = 0;
  RingPlace ring_;
  std::shared_ptr<const MemoryMap> map_;  // of the time of start() or resume(); null: stopped
  GuestSlice desc_, avail_, used_;
  bool indirect_ = false, event_index_ = false;
  bool broken_ = false;
  uint16_t kick_flag_ = 0;    // what the used ring's flags say
  uint16_t avail_index_ = 0;  // as last read from the driver
  uint16_t next_avail_ = 0;
  uint16_t next_used_ = 0;
  uint16_t published_ = 0;
  uint16_t signalled_ = 0;           // up to where the driver's wish was looked at
  InflightLog* inflight_ = nullptr;  // null: nobody asks
  std::vector<uint16_t> taken_;      // by an earlier process
  unsigned taken_left_ = 0;          // of their end, to be carried out again
};

}  // namespace acrn
