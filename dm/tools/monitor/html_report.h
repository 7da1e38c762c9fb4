// What `vblk report` writes: samples of a machine as one page, that needs nothing besides itself. Pure.
#pragma once

#include <string>
#include <vector>

#include "dm/tools/monitor/sample.h"

namespace acrn {

// At least two samples, in the order in which they were taken; `made_at`: when, as people write it.
std::string html_report(const std::vector<MonitorSample>& samples, const std::string& made_at);

}  // namespace acrn
