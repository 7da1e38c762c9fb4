// What code finds around it when it is entered without firmware: flat segments and, for 64 bits, page tables that map
// the first 4 GiB to themselves.
#pragma once

#include "acrn/mem/guest_memory.h"
#include "acrn/vm/hypervisor.h"

namespace acrn {

// Writes them below 1 MiB (memory_layout.h), where there must be RAM. The caller adds where to enter, and with what.
BootState write_boot_environment(const MemoryMap& memory, bool long_mode);

}  // namespace acrn
