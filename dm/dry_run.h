// `--dry_run`: the configuration with everything resolved, as JSON. Opens nothing for writing, creates and
// locks nothing.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "dm/config.h"

namespace acrn {

// Pretty-printed, without a newline at the end. Errors: kNoInput for a file that cannot be served, kUsage for
// an option that does not fit it.
Result<std::string> dry_run(const DmConfig& config);

}  // namespace acrn
