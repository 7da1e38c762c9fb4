// `--dry_run`: the configuration with everything resolved, as JSON.
#pragma once

#include <span>
#include <string>

#include "dm/cli/command_line.h"
#include "dm/devices/device.h"

namespace acrn {

// Pretty-printed, without a newline at the end. `facts`: of each slot, as preflight() found them.
std::string dry_run(const DmConfig& config, std::span<const DeviceFacts> facts);

}  // namespace acrn
