// The options of the commands that look at a running machine, as values. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/result.h"

namespace acrn {

struct MonitorText {
  std::string socket, interval = "1", html, sample_seconds = "10";
};

struct TopOptions {
  std::string socket;
  double interval = 1;  // seconds
  uint64_t count = 0;   // intervals; 0: without end
  bool json = false;
};
Result<TopOptions> parse_top_options(const MonitorText& text, const std::string& count, bool json);

struct ReportOptions {
  std::string socket, html;  // a path; "-": standard output
  double seconds = 10;
};
Result<ReportOptions> parse_report_options(const MonitorText& text);

}  // namespace acrn
