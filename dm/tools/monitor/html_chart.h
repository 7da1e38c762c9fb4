// Plots as SVG for a page, in its colours and without a script. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/block/disk_stats.h"

namespace acrn {

// Text between tags, or an attribute's value in quotes.
std::string html_escaped(std::string_view text);

struct ChartSeries {
  std::string_view name, colour;  // the colour is one of the page's: "read"
  std::vector<double> values;     // one for each time; negative: there is none
};

// Lines over `times`, which are seconds from the first one on, and grow. `format` writes a value at the axis.
std::string line_chart(std::string_view title, const std::vector<double>& times, const std::vector<ChartSeries>& series,
                       const std::function<std::string(double)>& format);

// How many took how long, a bar for each power of two of microseconds.
std::string latency_chart(std::string_view title, std::string_view colour, const Latency& latency);

}  // namespace acrn
