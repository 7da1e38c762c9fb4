// The options of `vblk crash`, as values. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/result.h"
#include "dm/tools/crash/states.h"

namespace acrn {

struct CrashText {
  std::string base, log, check, keep_image, most, atomic, parallel, check_seconds;
};

struct CrashOptions {
  std::string base, log;
  std::string check;  // a command, with % for the image
  std::string keep;   // where the first image that fails goes
  StateOptions states;
  unsigned parallel = 0;  // checks at a time; 0: as many as there are CPUs
  unsigned seconds = 60;  // that a check may take
  bool json = false;
};
// `seed`: the text of --seed, which other commands have, too.
Result<CrashOptions> parse_crash_options(const CrashText& text, const std::string& seed, bool json);

}  // namespace acrn
