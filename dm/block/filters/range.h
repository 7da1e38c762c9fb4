// FilterRange: a window of a disk, in bytes. A backend over a backend; any thread. A request that leaves the
// window fails with EINVAL and reaches nothing.
#pragma once

#include <memory>

#include "acrn/block/blockif.h"

namespace acrn {

// [start, start + size) lies inside `below`.
std::unique_ptr<BlockBackend> make_filter_range(std::unique_ptr<BlockBackend> below, uint64_t start, uint64_t size);

}  // namespace acrn
