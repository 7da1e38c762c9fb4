// `ram:<size>`: a disk in memory.
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/result.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// As inspect_disk() and open_disk() say (dm/block/open.h). `size`: bytes.
Result<DiskFacts> inspect_ram(const BlockOptions& options, uint64_t size, const std::string& slot);
Result<OpenedDisk> open_ram(const BlockOptions& options, uint64_t size, const std::string& slot);

}  // namespace acrn
