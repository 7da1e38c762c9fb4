// The options of `vblk crash`, as values. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/result.h"

namespace acrn {

struct CrashText {
  std::string base, log, check, keep_image, most = "16", atomic = "512", parallel, check_seconds = "60";
};

struct CrashOptions {
  std::string base, log;
  std::string check;      // a command, with % for the image
  std::string keep;       // where the first image that fails goes
  unsigned most = 16;     // subsets by chance, between two flushes
  uint64_t atomic = 512;  // bytes that the medium writes whole
  unsigned parallel = 0;  // checks at a time; 0: as many as there are CPUs
  unsigned seconds = 60;  // that a check may take
  uint64_t seed = 1;
  bool json = false;
};
// `seed`: the text of --seed, which other commands have, too.
Result<CrashOptions> parse_crash_options(const CrashText& text, const std::string& seed, bool json);

}  // namespace acrn
