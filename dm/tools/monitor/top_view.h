// What `vblk top` shows of the time between two samples: a frame for a terminal, lines for a file, or JSON. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "dm/tools/monitor/sample.h"

namespace acrn {

struct TopLook {
  size_t columns = 80, rows = 24;
  bool unicode = true;
  double interval = 1;  // seconds
  std::string clock;    // "21:20:11"
};

// Lines of just that many columns, with their colours, at most as many as there are rows.
std::vector<std::string> top_frame(const MonitorSample& earlier, const MonitorSample& later, const TopLook& look);

// What stands above lines, and a line for each disk.
std::string top_header();
std::vector<std::string> top_lines(const MonitorSample& earlier, const MonitorSample& later, const std::string& clock);

nlohmann::ordered_json top_json(const MonitorSample& earlier, const MonitorSample& later);

}  // namespace acrn
