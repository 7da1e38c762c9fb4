// Images of crash states: clones of a base, and writes of a log on them.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "dm/tools/crash/log_file.h"
#include "dm/tools/crash/states.h"

namespace acrn {

// `to` becomes a copy of `from`, sharing its blocks where the file system can do that; holes stay holes. Errors: kIo.
Result<void> clone_image(const std::string& from, const std::string& to);

// Writes the entry to the image; `half`: only its first half, in whole sectors. Errors: kIo.
Result<void> apply_write(const LogFile& log, const LoggedWrite& entry, const std::string& image, bool half = false);

}  // namespace acrn
