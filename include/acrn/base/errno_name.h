// An errno as people write it, "ENOSPC": for logs and statistics.
#pragma once

#include <cstring>
#include <string>

namespace acrn {

inline std::string errno_name(int error) {
  const char* const name = ::strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

}  // namespace acrn
