// DriverRing: the driver's side of one split ring, laid out as legacy ones are. Keeps its own free list and shadow of
// what it put into the ring, as a careful driver does. One thread. The raw accessors are for those who want to break
// the rules.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/ring_layout.h"

namespace acrn {

struct GuestBuffer {
  Gpa address;
  uint32_t length;  // bytes
};

class DriverRing {
 public:
  struct Used {
    uint16_t token;
    uint32_t written;  // bytes the device says it wrote
  };

  // `size` entries, in zeroed memory of ring_layout(size).total_bytes bytes that the device finds at `base`.
  DriverRing(Gpa base, GuestSlice memory, uint16_t size, bool event_index);
  // Chains of up to `entries` buffers use indirect tables from now on: `size` of them, one behind the other.
  void use_tables(Gpa base, GuestSlice memory, uint16_t entries);

  uint16_t size() const { return size_; }
  uint32_t pfn() const { return static_cast<uint32_t>(raw(base_) >> VIRTIO_PCI_QUEUE_ADDR_SHIFT); }

  uint16_t free_entries() const { return free_count_; }
  // Adds a chain: readable buffers, then writable. The device sees it after expose(). False: no descriptors left.
  bool add(std::span<const GuestBuffer> readable, std::span<const GuestBuffer> writable, uint16_t token);
  // Makes the added chains available. True: the device wants a kick for them.
  bool expose();
  // The next chain that came back. nullopt: there is none, or the device returned one that it never got.
  std::optional<Used> take_used();
  bool broken() const { return broken_; }
  // The device has returned something that was not taken yet.
  bool has_used() const { return !broken_ && used_index() != next_used_; }
  // Asks for an interrupt at the next completion. True: there is one already, and none will come for it.
  bool enable_interrupts();
  void disable_interrupts();

  // Raw access to the ring, which the methods above do not expect.
  Gpa base() const { return base_; }
  VringDesc desc(uint16_t index) const { return desc_.load<VringDesc>(sizeof(VringDesc) * index); }
  void write_desc(uint16_t index, const VringDesc& desc) const { desc_.store(sizeof(VringDesc) * index, desc); }
  void write_avail_entry(uint16_t slot, uint16_t head) const { avail_.store(avail_entry(slot), Le16(head)); }
  void write_avail_index(uint16_t index) const { avail_.store16(kRingIndex, index, __ATOMIC_RELEASE); }
  void write_avail_flags(uint16_t flags) const { avail_.store16(kRingFlags, flags, __ATOMIC_RELAXED); }
  // For a queue that is set up once more: nothing available, nothing used. Descriptors stay.
  void rewind() const {
    for (const GuestSlice& ring : {avail_, used_}) ring.store16(kRingIndex, 0, __ATOMIC_RELAXED);
  }
  uint16_t avail_index() const { return avail_.load16(kRingIndex, __ATOMIC_RELAXED); }
  uint16_t used_index() const { return used_.load16(kRingIndex, __ATOMIC_ACQUIRE); }
  uint16_t used_flags() const { return used_.load16(kRingFlags, __ATOMIC_RELAXED); }
  uint16_t wanted_kick() const { return used_.load16(avail_event(size_), __ATOMIC_RELAXED); }
  VringUsedElem used(uint16_t slot) const { return used_.load<VringUsedElem>(used_entry(slot)); }

 private:
  Gpa base_;
  uint16_t size_;
  bool event_index_;
  bool broken_ = false;
  GuestSlice desc_, avail_, used_;
  uint16_t indirect_entries_ = 0;
  Gpa tables_{};  // an indirect table for each head
  GuestSlice tables_memory_;
  std::vector<uint16_t> next_;          // shadow of the chains, and of the free list
  std::vector<uint16_t> chain_length_;  // of a head in flight, 0 for others
  std::vector<uint16_t> token_;
  uint16_t first_free_ = 0, free_count_;
  uint16_t next_avail_ = 0, exposed_ = 0, next_used_ = 0;
};

}  // namespace acrn
