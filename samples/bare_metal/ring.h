// The ring as driver and device see it in RAM (virtio 0.9.5 2.3, virtio 1.2 2.7). Numbers are little endian, as on x86.
#pragma once

#include <stdint.h>

// 2.3.2: a buffer. Those of a request are a chain: each names the next one.
struct Descriptor {
  static constexpr uint16_t kNext = 1;      // `next` is valid
  static constexpr uint16_t kWrite = 2;     // for the device to write; else for the device to read
  static constexpr uint16_t kIndirect = 4;  // 2.3.3: the buffer is a table of descriptors, which hold the chain

  uint64_t address;  // in RAM, as the hardware counts
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

// 2.3.4: where the driver puts the first descriptor ("head") of each chain that the device may have.
struct Available {
  static constexpr uint16_t kNoInterrupt = 1;

  uint16_t flags;
  uint16_t index;      // how many there were in all; counts on from 0xffff to 0
  uint16_t entries[];  // entry n is at n modulo the ring's size; behind the last one is used_event
};

struct UsedEntry {
  uint32_t head;
  uint32_t written;  // bytes that the device wrote to the chain
};

// 2.3.5: where the device puts the chains that it is done with, in any order.
struct Used {
  static constexpr uint16_t kNoKick = 1;

  uint16_t flags;
  uint16_t index;
  UsedEntry entries[];  // behind the last one is avail_event
};
