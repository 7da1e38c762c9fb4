// A file whose bytes are not the disk's: another program reads its format.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// As inspect_disk(), open_disk() and check_unlocked() say (dm/block/open.h).
Result<DiskFacts> inspect_image_disk(const BlockOptions& options, const std::string& path);
Result<OpenedDisk> open_image_disk(const BlockOptions& options, const std::string& path);
Result<void> check_image_unlocked(const BlockOptions& options, const std::string& path);

}  // namespace acrn
