#include "dm/tools/monitor/options.h"

#include <charconv>
#include <string_view>

#include "acrn/base/concat.h"
#include "dm/cli/option_table.h"
#include "dm/tools/option_values.h"

namespace acrn {
namespace {

constexpr uint64_t kMostIntervals = 1'000'000'000;
constexpr double kMaxSeconds = 3600;

Result<double> parse_seconds(std::string_view option, const std::string& text, double least) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc{} && stop == end && value >= least && value <= kMaxSeconds) return value;
  return usage_error(concat(option, " ", text.empty() ? "''" : text, ": give a number of seconds, ",
                            least < 1 ? "0.1" : "1", " to 3600"));
}

Result<void> check_socket(std::string_view command, const MonitorText& text) {
  if (!text.socket.empty()) return {};
  return usage_error(concat(command, ": the socket is missing; give that of --cmd_monitor, like vblk ", command,
                            " /run/acrn/vm1.sock"));
}

}  // namespace

Result<TopOptions> parse_top_options(const MonitorText& text, const std::string& count, bool json) {
  if (auto checked = check_socket("top", text); !checked) return checked.error();
  const auto interval = parse_seconds("--interval", text.interval, 0.1);
  if (!interval) return interval.error();
  TopOptions options{.socket = text.socket, .interval = interval.value(), .json = json};
  if (count.empty()) return options;
  if (auto ok = accept_number("--count", count, 1, kMostIntervals, options.count); !ok) return ok.error();
  return options;
}

Result<ReportOptions> parse_report_options(const MonitorText& text) {
  if (auto checked = check_socket("report", text); !checked) return checked.error();
  if (text.html.empty())
    return usage_error("report: --html is missing; give the file to write, like --html report.html");
  const auto seconds = parse_seconds("--seconds", text.sample_seconds, 1);
  if (!seconds) return seconds.error();
  return ReportOptions{.socket = text.socket, .html = text.html, .seconds = seconds.value()};
}

}  // namespace acrn
