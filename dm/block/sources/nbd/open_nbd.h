// An export of an NBD server, as a disk.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// As inspect_disk() and open_disk() say (dm/block/open.h).
Result<DiskFacts> inspect_nbd_disk(const BlockOptions& options, const std::string& uri);
Result<OpenedDisk> open_nbd_disk(const BlockOptions& options, const std::string& uri);

}  // namespace acrn
