// Which of the host's CPUs this process may run on.
#pragma once

#include <span>
#include <string_view>

#include "acrn/base/result.h"

namespace acrn {

// Each one is tried with the calling thread, which ends up where it was. kUsage: `option`, the first CPU that cannot be
// had, and those that the host has.
Result<void> check_host_cpus(std::span<const unsigned> cpus, std::string_view option);

}  // namespace acrn
