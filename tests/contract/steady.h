// Whether a backend allocates for requests. The program counts every allocation (allocation_count.cc).
#pragma once

#include "acrn/block/blockif.h"

namespace acrn::test {

// Fails if it does, once it has warmed up: with more requests of changing kinds in flight than a channel has room for.
void expect_no_allocations(BlockBackend& backend);

}  // namespace acrn::test
