// The holes of a regular file (lseek(2), SEEK_HOLE).
#pragma once

#include <memory>
#include <string>

#include "acrn/block/disk_map.h"

namespace acrn {

// Null: it is no regular file, or cannot be read.
std::unique_ptr<DiskMap> open_file_map(const std::string& path);

}  // namespace acrn
