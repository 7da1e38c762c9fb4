#include "dm/tools/monitor/html_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "dm/tools/monitor/cells.h"

namespace acrn {
namespace {

// In the units of the picture, whose width is that of its column.
constexpr double kWidth = 560, kHeight = 190, kLeft = 56, kRight = 12, kTop = 30, kBottom = 24;
constexpr double kPlotWidth = kWidth - kLeft - kRight, kPlotHeight = kHeight - kTop - kBottom;

// 1, 2 or 5 times a power of ten: what at most `steps` of reach `value`.
double nice_step(double value, double steps) {
  if (!(value > 0)) return 1;
  const double least = value / steps, unit = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * unit >= least) return factor * unit;
  }
  return 10 * unit;
}

// The end of a bucket at an axis: whole units are near enough.
std::string axis_time(size_t bucket) {
  auto value = static_cast<double>(uint64_t{1} << bucket);
  const char* unit = "us";
  for (const char* const larger : {"ms", "s"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = larger;
  }
  return fmt::format("{:.0f}{}", value, unit);
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", x, y, anchor, html_escaped(text));
}

std::string rule_at(double y) {
  return fmt::format(R"(<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft, kWidth - kRight, y, y);
}

std::string begin_chart(std::string_view title) {
  return fmt::format(
      R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><text class="title" x="0" y="14">{}</text>)", kWidth,
      kHeight, html_escaped(title), html_escaped(title));
}

double highest_of(const std::vector<ChartSeries>& series) {
  double highest = 0;
  for (const ChartSeries& each : series) {
    for (const double value : each.values) highest = std::max(highest, value);
  }
  return highest;
}

// A line for each stretch in which there are values.
std::string lines_of(const std::vector<double>& times, const ChartSeries& series,
                     const std::function<double(double)>& x_of, const std::function<double(double)>& y_of) {
  std::string lines, points;
  const auto end_stretch = [&] {
    if (!points.empty()) lines += fmt::format(R"(<polyline class="{}" points="{}"/>)", series.colour, points);
    points.clear();
  };
  for (size_t i = 0; i < std::min(times.size(), series.values.size()); i++) {
    if (series.values[i] < 0) {
      end_stretch();
    } else {
      fmt::format_to(std::back_inserter(points), "{:.1f},{:.1f} ", x_of(times[i]), y_of(series.values[i]));
    }
  }
  end_stretch();
  return lines;
}

std::string legend_of(const std::vector<ChartSeries>& series) {
  std::string legend;
  double x = kWidth - kRight;
  for (size_t i = series.size(); i-- > 0;) {
    legend += text_at(x, 14, "end", series[i].name);
    x -= 7.0 * static_cast<double>(series[i].name.size()) + 16;
    legend += fmt::format(R"(<rect class="{}" x="{:.1f}" y="5" width="10" height="10" rx="2"/>)", series[i].colour, x);
    x -= 14;
  }
  return legend;
}

// The multiples of `step` from 0 to `end`.
std::vector<double> ticks_to(double end, double step) {
  std::vector<double> ticks(static_cast<size_t>(end / step + 1.001));
  for (size_t i = 0; i < ticks.size(); i++) ticks[i] = static_cast<double>(i) * step;
  return ticks;
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        result += byte < 0x20 || byte == 0x7f ? std::string("&#xfffd;") : std::string(1, c);
      }
    }
  }
  return result;
}

std::string line_chart(std::string_view title, const std::vector<double>& times, const std::vector<ChartSeries>& series,
                       const std::function<std::string(double)>& format) {
  const double step = nice_step(highest_of(series), 4),
               top = step * std::max(1.0, std::ceil(highest_of(series) / step));
  const double end = times.empty() || times.back() <= 0 ? 1 : times.back();
  const auto x_of = [&](double time) { return kLeft + time / end * kPlotWidth; };
  const auto y_of = [&](double value) { return kTop + kPlotHeight * (1 - value / top); };
  std::string chart = begin_chart(title) + legend_of(series);
  for (const double value : ticks_to(top, step)) {
    chart += rule_at(y_of(value)) + text_at(kLeft - 6, y_of(value) + 4, "end", format(value));
  }
  const double time_step = nice_step(end, 6);
  for (const double time : ticks_to(end, time_step)) {
    chart += text_at(x_of(time), kHeight - 6, time + time_step > end * 1.001 ? "end" : "middle",
                     fmt::format("{:g} s", time));
  }
  for (const ChartSeries& each : series) chart += lines_of(times, each, x_of, y_of);
  return chart + "</svg>";
}

std::string latency_chart(std::string_view title, std::string_view colour, const Latency& latency) {
  const auto highest = static_cast<double>(*std::max_element(latency.buckets.begin(), latency.buckets.end()));
  const double step = nice_step(highest, 3), top = step * std::max(1.0, std::ceil(highest / step));
  const auto y_of = [&](double value) { return kTop + kPlotHeight * (1 - value / top); };
  std::string chart = begin_chart(title);
  for (const double value : ticks_to(top, step)) {
    chart += rule_at(y_of(value)) + text_at(kLeft - 6, y_of(value) + 4, "end", short_number(value));
  }
  constexpr double kBar = kPlotWidth / kLatencyBuckets;
  for (size_t i = 0; i < kLatencyBuckets; i++) {
    const double x = kLeft + kBar * static_cast<double>(i), y = y_of(static_cast<double>(latency.buckets[i]));
    const std::string end = i + 1 == kLatencyBuckets ? "longer" : short_time(static_cast<double>(uint64_t{1000} << i));
    if (latency.buckets[i] != 0) {
      chart += fmt::format(
          R"(<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}{}: {}</title></rect>)",
          colour, x + 1, std::min(y, kTop + kPlotHeight - 1), kBar - 2, std::max(1.0, kTop + kPlotHeight - y),
          i + 1 == kLatencyBuckets ? "" : "below ", end, latency.buckets[i]);
    }
    // The end of a bucket is at the right of its bar.
    if (i % 4 == 0 && i + 1 != kLatencyBuckets) chart += text_at(x + kBar, kHeight - 6, "middle", axis_time(i));
  }
  return chart + "</svg>";
}

}  // namespace acrn
