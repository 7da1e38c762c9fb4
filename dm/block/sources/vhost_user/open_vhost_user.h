// What a vhost-user-blk back end serves, as a disk.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// As inspect_disk() and open_disk() say (dm/block/open.h).
Result<DiskFacts> inspect_vhost_user_disk(const BlockOptions& options, const std::string& socket);
Result<OpenedDisk> open_vhost_user_disk(const BlockOptions& options, const std::string& socket);

}  // namespace acrn
