// Where the log goes: the console (stderr), a file and the kernel's log, each with its own level. Until
// setup_logging() runs, lines up to kDefaultConsoleLevel go to the console.
#pragma once

#include <optional>
#include <string>

#include "acrn/base/log.h"
#include "acrn/base/result.h"

namespace acrn {

inline constexpr LogLevel kDefaultConsoleLevel = LogLevel::kNotice;

// Levels 1 (error) .. 5 (debug). A channel without a level: the console has its default, the others are off.
struct LoggerSetting {
  std::optional<int> console, disk, kmsg;
};

// `file` is where the disk channel appends; its directory is made if it can be. A channel that cannot be
// opened is left out with a warning. Call it on the main thread before any other thread logs.
// Errors: kUsage for a level outside 1..5.
Result<void> setup_logging(const LoggerSetting& setting, const std::string& file);

}  // namespace acrn
