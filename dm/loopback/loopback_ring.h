// A driver's ring in the RAM of the in-process guest.
#pragma once

#include <cstdint>

#include "acrn/base/result.h"
#include "dm/driver/driver_ring.h"
#include "dm/loopback/loopback_machine.h"

namespace acrn {

// `indirect_entries`: buffers that an indirect table of a chain can hold; 0: chains of direct descriptors.
Result<DriverRing> create_ring(LoopbackMachine& machine, uint16_t size, uint16_t indirect_entries, bool event_index);

}  // namespace acrn
