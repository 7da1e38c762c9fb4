// A regular file or a block device whose bytes are the disk's.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// As inspect_disk(), open_disk() and check_unlocked() say (dm/block/open.h).
Result<DiskFacts> inspect_file(const BlockOptions& options, const std::string& path);
// `sent`: the file that others have opened and sent, of that name; -1: it is opened by its path.
Result<OpenedDisk> open_file(const BlockOptions& options, const std::string& path, const std::string& slot,
                             int sent = -1);
Result<void> check_file_unlocked(const BlockOptions& options, const std::string& path);

}  // namespace acrn
