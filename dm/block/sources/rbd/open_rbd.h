// An image of a Ceph cluster, as a disk.
#pragma once

#include "acrn/base/result.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// As inspect_disk() and open_disk() say (dm/block/open.h). kUnavailable: the module for Ceph is not there.
Result<DiskFacts> inspect_rbd_disk(const BlockOptions& options, const RbdName& name);
Result<OpenedDisk> open_rbd_disk(const BlockOptions& options, const RbdName& name);

}  // namespace acrn
