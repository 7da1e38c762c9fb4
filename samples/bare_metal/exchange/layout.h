// How a guest and a program of its host talk by way of a disk that both of them can reach: what is where. Each sector
// has one side that writes it. All that a side knows is on the disk, so either may be started again.
#pragma once

#include <stdint.h>

// Says what its writer has come to. A sector, but whoever reads it while it is written may see half of it: then the two
// numbers differ, and he looks once more.
struct Control {
  uint32_t sequence;  // counts on from 0
  uint32_t value;     // mailbox: bytes in the region; ring: of the host, the sum of what it has taken
  uint8_t unused[500];
  uint32_t sequence_again;

  bool whole() const { return sequence == sequence_again; }
};
static_assert(sizeof(Control) == 512);

// Of the ring.
struct Message {
  uint32_t words[128];
};
static_assert(sizeof(Message) == 512);

// In sectors.
constexpr uint32_t kGuestControl = 0;
constexpr uint32_t kHostControl = 1;
constexpr uint32_t kOutput = 8;  // the guest writes, the host reads
constexpr uint32_t kInput = 16;  // the other way round
constexpr uint32_t kRegion = 8;  // so long is each of them
constexpr uint32_t kRing = 64;   // the guest writes, the host reads
constexpr uint32_t kSlots = 64;  // message n is in slot n % kSlots
