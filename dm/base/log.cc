#include "acrn/base/log.h"

#include <cstdio>

namespace acrn {

bool log_enabled(LogLevel level) { return level <= LogLevel::kInfo; }

void log(LogLevel, std::string_view line) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

}  // namespace acrn
