// The driver's side of one ring: descriptors are taken from a free list, chains go to the device and come back.
#pragma once

#include <stdint.h>

#include "ring.h"

struct Buffer {
  const void* start;
  uint32_t length;
  bool device_writes;
};

class Queue {
 public:
  // A legacy device says how long its ring is, and the driver has to do with it.
  static constexpr uint16_t kMaxSize = 1024;
  static constexpr unsigned kMaxTable = 8;

  // An empty ring of that many entries.
  void set_up(uint16_t size, bool event_index);
  // Where it is, in the pages of 4 KiB in which a legacy device is told.
  uint32_t page() const;

  uint16_t size() const { return size_; }
  uint16_t free() const { return free_count_; }
  // How many chains were made available so far, as the device counts.
  uint16_t next_index() const { return next_available_; }

  // The head that the next chain will have.
  uint16_t next_head() const { return free_[free_count_ - 1]; }
  // A chain of these buffers, of any free descriptors. There have to be as many. The device does not see it yet.
  uint16_t add(const Buffer* buffers, unsigned count);
  // The same by a table beside the ring, which takes one descriptor whatever the count, up to kMaxTable.
  uint16_t add_indirect(const Buffer* buffers, unsigned count);
  // Shows the device what was added. True: it wants to be kicked.
  bool publish();

  // The next chain that the device is done with; its descriptors are free again. False: there is none yet.
  bool take(UsedEntry& used);

  // Interrupts: none, or one as soon as that many more chains are done. Without the event index the device knows no
  // number, and interrupts for each. An interrupt is a hint: look at the ring after asking for it.
  void want_no_interrupt();
  void want_interrupt_after(uint16_t chains);

  // Mixes the free list, so that a chain's descriptors are nowhere near each other.
  void shuffle();

  // For those who want to do it themselves.
  Descriptor& descriptor(unsigned number) { return descriptors_[number]; }
  Available& available() { return *available_; }
  Used& used() { return *used_; }

 private:
  void fill(Descriptor& descriptor, const Buffer& buffer);
  void make_available(uint16_t head);
  uint16_t& used_event() { return available_->entries[size_]; }
  uint16_t avail_event();

  uint16_t size_, free_count_;
  bool event_index_;
  Descriptor* descriptors_;
  Available* available_;
  Used* used_;
  uint16_t next_available_;  // that add() fills
  uint16_t published_;       // what available_->index says
  uint16_t next_used_;       // that take() looks at
  uint16_t free_[kMaxSize];
};
