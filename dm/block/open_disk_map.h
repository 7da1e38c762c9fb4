// Opens the map of what a `-s <slot>,virtio-blk,...` line names.
#pragma once

#include <memory>

#include "acrn/block/block_options.h"
#include "acrn/block/disk_map.h"

namespace acrn {

// Of a disk that nobody else writes. Null: nothing is known of such a disk, or now.
std::unique_ptr<DiskMap> open_disk_map(const BlockOptions& options);

}  // namespace acrn
