// The guest's half: control sectors, and how it waits.
#pragma once

#include "clock.h"
#include "disk.h"
#include "exchange/layout.h"

// With FLUSH a write that came back is in the page cache, where the host sees it. A driver that does not accept it has
// each write on the medium, which takes longer and gains nothing here.
constexpr uint32_t kExchangeFeatures = kCanFlush;

// False: an error, or its writer is at it.
bool read_control(Disk& disk, uint32_t sector, Control& control);
// Shows the host what the guest has come to. What that is about has to be on the disk before: requests that are under
// way together are carried out in any order.
bool write_control(Disk& disk, uint32_t sequence, uint32_t value);

// Reads the host's control sector until the condition holds. False: not in ten seconds.
template <typename Condition>
bool wait_for_host(Disk& disk, Control& host, Condition condition) {
  return wait_ms(10000, [&] { return read_control(disk, kHostControl, host) && condition(); });
}
