// Guest RAM made of a memfd. Unmapped when the last map that holds it is gone.
#pragma once

#include <cstdint>
#include <memory>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"

namespace acrn {

// `size` bytes of zeroed RAM at guest-physical `base`.
Result<MemoryRegion> create_guest_ram(Gpa base, uint64_t size);

}  // namespace acrn
