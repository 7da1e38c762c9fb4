// FilterThrottle: a disk within its limits: requests beyond them wait until their time has come, in the order in which
// they came. A flush is a write of no bytes. A backend over a backend; any thread.
#pragma once

#include <memory>

#include "acrn/block/blockif.h"
#include "dm/block/filters/throttle_group.h"

namespace acrn {

// `disk` outlives the backend.
std::unique_ptr<BlockBackend> make_filter_throttle(std::unique_ptr<BlockBackend> below, ThrottledDisk& disk);

}  // namespace acrn
