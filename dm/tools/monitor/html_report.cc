#include "dm/tools/monitor/html_report.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <utility>

#include "dm/tools/monitor/cells.h"
#include "dm/tools/monitor/html_chart.h"

namespace acrn {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --text: #1c2430; --soft: #5d6b7e; --rule: #dfe4ea;
  --read: #1f6feb; --write: #d9730d; --flush: #2e9e6b; --discard: #8957e5; --zeroes: #0e8f9c; --bad: #c62828; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --card: #1b212a; --text: #e4e9f0; --soft: #93a1b3;
  --rule: #303946; --read: #58a6ff; --write: #f0a04b; --flush: #56d39b; --discard: #b893ff; --zeroes: #4fc9d6;
  --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; }
h1 { font-size: 26px; margin: 0; }
h2 { font-size: 19px; margin: 36px 0 12px; overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 24px 0 8px; }
p { margin: 4px 0; color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tile, .chart { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 12px 14px; }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile.bad b { color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 12px;
  margin-top: 12px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); }
svg .title { fill: var(--text); font-weight: 600; font-size: 13px; }
svg .rule { stroke: var(--rule); stroke-width: 1; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.read { stroke: var(--read); } rect.read { fill: var(--read); stroke: none; }
.write { stroke: var(--write); } rect.write { fill: var(--write); stroke: none; }
.flush { stroke: var(--flush); } rect.flush { fill: var(--flush); stroke: none; }
.discard { stroke: var(--discard); } rect.discard { fill: var(--discard); stroke: none; }
.zeroes { stroke: var(--zeroes); } rect.zeroes { fill: var(--zeroes); stroke: none; }
.table { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 14px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
th { font-weight: 600; color: var(--soft); font-size: 13px; }
th:first-child, td:first-child { text-align: left; }
table.errors th:nth-child(2), table.errors td:nth-child(2) { text-align: left; }
details { margin-top: 16px; }
summary { color: var(--soft); cursor: pointer; }
table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { color: var(--soft); width: 12em; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
)";

// The operations, as the page calls and colours them.
struct Operation {
  DiskRequestKind kind;
  std::string_view name, colour;
};
constexpr std::array<Operation, 5> kOperations{{{DiskRequestKind::kRead, "read", "read"},
                                                {DiskRequestKind::kWrite, "write", "write"},
                                                {DiskRequestKind::kFlush, "flush", "flush"},
                                                {DiskRequestKind::kDiscard, "discard", "discard"},
                                                {DiskRequestKind::kWriteZeroes, "write zeroes", "zeroes"}}};

std::string tile(std::string_view value, std::string_view what, bool bad = false) {
  return fmt::format(R"(<div class="tile{}"><b>{}</b><span>{}</span></div>)", bad ? " bad" : "", html_escaped(value),
                     html_escaped(what));
}

std::string bytes_text(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); unit++) value /= 1024;
  return fmt::format("{:.{}f} {} ({} bytes)", value, unit == 0 ? 0 : 1, kUnits[unit], bytes);
}

std::string tiles_of(const DiskRates& whole) {
  const Latency all = whole.counts.latency_of(LatencyStage::kAll);
  const auto megabytes = [&](uint64_t bytes) { return short_number(whole.per_second(bytes) / 1e6) + " MB/s"; };
  const uint64_t errors = whole.counts.errors();
  return "<div class=\"tiles\">" + tile(short_number(whole.reads()), "reads per second") +
         tile(megabytes(whole.counts.bytes_read), "read") + tile(short_number(whole.writes()), "writes per second") +
         tile(megabytes(whole.counts.bytes_written), "written") +
         tile(all.count() == 0 ? "-" : short_time(quantile_of(all, 0.5)), "p50 of all requests") +
         tile(all.count() == 0 ? "-" : short_time(quantile_of(all, 0.99)), "p99 of all requests") +
         tile(fmt::format("{}", errors), "errors", errors != 0) + "</div>";
}

// The intervals of one disk.
std::vector<DiskRates> intervals_of(const std::vector<MonitorSample>& samples, const std::string& slot) {
  std::vector<DiskRates> intervals;
  for (size_t i = 1; i < samples.size(); i++) {
    DiskRates interval{.seconds = std::chrono::duration<double>(samples[i].at - samples[i - 1].at).count()};
    const DiskCounts *const before = samples[i - 1].find(slot), *const after = samples[i].find(slot);
    if (after != nullptr) {
      interval.now = *after;
      interval.counts = difference(*after, before != nullptr ? *before : *after);
    }
    intervals.push_back(std::move(interval));
  }
  return intervals;
}

std::vector<double> values_of(const std::vector<DiskRates>& intervals, double (*value)(const DiskRates&)) {
  std::vector<double> values;
  values.reserve(intervals.size());
  for (const DiskRates& interval : intervals) values.push_back(value(interval));
  return values;
}

// Microseconds; none where nothing was done.
template <int percent>
double latency_of(const DiskRates& interval) {
  const Latency all = interval.counts.latency_of(LatencyStage::kAll);
  return all.count() == 0 ? -1 : quantile_of(all, percent / 100.0);
}

std::string charts_of(const std::vector<DiskRates>& intervals) {
  std::vector<double> times;
  times.reserve(intervals.size());
  double time = 0;
  for (const DiskRates& interval : intervals) times.push_back(time += interval.seconds);
  const auto with = [](std::string chart) { return "<div class=\"chart\">" + std::move(chart) + "</div>"; };
  const auto plain = [](double value) { return short_number(value); };
  const auto read_rate = [](const DiskRates& each) { return each.reads(); };
  const auto write_rate = [](const DiskRates& each) { return each.writes(); };
  const auto read_bytes = [](const DiskRates& each) { return each.per_second(each.counts.bytes_read) / 1e6; };
  const auto written_bytes = [](const DiskRates& each) { return each.per_second(each.counts.bytes_written) / 1e6; };
  const auto in_flight = [](const DiskRates& each) { return static_cast<double>(each.now.in_flight); };
  return "<div class=\"charts\">" +
         with(line_chart(
             "requests per second", times,
             {{"read", "read", values_of(intervals, read_rate)}, {"write", "write", values_of(intervals, write_rate)}},
             plain)) +
         with(line_chart("MB per second", times,
                         {{"read", "read", values_of(intervals, read_bytes)},
                          {"write", "write", values_of(intervals, written_bytes)}},
                         plain)) +
         with(line_chart("latency of all requests", times,
                         {{"p50", "flush", values_of(intervals, latency_of<50>)},
                          {"p99", "discard", values_of(intervals, latency_of<99>)}},
                         [](double value) { return value == 0 ? std::string("0") : short_time(value); })) +
         with(line_chart("requests in flight", times, {{"now", "zeroes", values_of(intervals, in_flight)}}, plain)) +
         "</div>";
}

std::string latency_row(const DiskCounts& counts, const Operation& operation) {
  const auto kind = static_cast<size_t>(operation.kind);
  const Latency& all = counts.latency_of(kind, LatencyStage::kAll);
  std::string row = fmt::format("<tr><td>{}</td><td>{}</td>", operation.name, all.count());
  for (const auto stage : {LatencyStage::kRing, LatencyStage::kEngine, LatencyStage::kAll}) {
    row += fmt::format("<td>{}</td>", short_time(mean_of(counts.latency_of(kind, stage))));
  }
  for (const double quantile : {0.5, 0.9, 0.99, 0.999}) {
    row += fmt::format("<td>{}</td>", short_time(quantile_of(all, quantile)));
  }
  return row + "</tr>";
}

std::string latencies_of(const DiskCounts& counts, std::string_view when) {
  std::string rows, charts;
  for (const Operation& operation : kOperations) {
    const Latency& all = counts.latency_of(static_cast<size_t>(operation.kind), LatencyStage::kAll);
    if (all.count() == 0) continue;
    rows += latency_row(counts, operation);
    charts += "<div class=\"chart\">" +
              latency_chart(fmt::format("{}: requests by latency", operation.name), operation.colour, all) + "</div>";
  }
  if (rows.empty()) return fmt::format("<h3>Latencies {}</h3><p>There were no requests.</p>", when);
  return fmt::format(
      "<h3>Latencies {}</h3><div class=\"table\"><table><tr><th>operation</th><th>requests</th>"
      "<th>in the ring, mean</th><th>in the engine, mean</th><th>in all, mean</th><th>p50</th>"
      "<th>p90</th><th>p99</th><th>p99.9</th></tr>{}</table></div><div class=\"charts\">{}</div>",
      when, rows, charts);
}

std::string error_rows(std::string_view whose, const std::map<std::string, uint64_t>& now,
                       const std::map<std::string, uint64_t>& more) {
  std::string rows;
  for (const auto& [name, count] : now) {
    const auto grown = more.find(name);
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", whose, html_escaped(name),
                        grown == more.end() ? 0 : grown->second, count);
  }
  return rows;
}

std::string errors_of(const DiskRates& whole) {
  const std::string rows = error_rows("host", whole.now.host_errors, whole.counts.host_errors) +
                           error_rows("guest", whole.now.guest_errors, whole.counts.guest_errors);
  if (rows.empty()) return "<h3>Errors</h3><p>None, of the host or of the guest, since the start.</p>";
  return "<h3>Errors</h3><div class=\"table\"><table class=\"errors\"><tr><th>by</th><th>what</th><th>meanwhile</th>"
         "<th>since the start</th></tr>" +
         rows + "</table></div>";
}

std::string configuration_of(const DiskCounts& disk) {
  std::vector<std::pair<std::string, std::string>> facts{{"slot", disk.slot},
                                                         {"emulation", disk.emulation},
                                                         {"source", disk.source},
                                                         {"size", bytes_text(disk.bytes.value_or(0))},
                                                         {"queues", std::to_string(disk.queues)}};
  if (disk.stopped_queues != 0) facts.emplace_back("stopped queues", std::to_string(disk.stopped_queues));
  if (disk.held != 0) facts.emplace_back("requests held", std::to_string(disk.held));
  if (disk.delayed != 0) facts.emplace_back("requests delayed by limits", std::to_string(disk.delayed));
  if (disk.clients) facts.emplace_back("clients", std::to_string(*disk.clients));
  std::string rows;
  for (const auto& [name, value] : facts) {
    rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>", name, html_escaped(value));
  }
  return "<h3>Configuration</h3><div class=\"table\"><table class=\"facts\">" + rows + "</table></div>";
}

std::string section_of(const std::vector<MonitorSample>& samples, const DiskRates& whole) {
  const std::string seconds = fmt::format("in these {:.0f} s", whole.seconds);
  std::string section =
      fmt::format("<section><h2>{} &middot; {}</h2>", html_escaped(whole.now.slot), html_escaped(whole.now.source)) +
      tiles_of(whole) + charts_of(intervals_of(samples, whole.now.slot)) + latencies_of(whole.counts, seconds);
  section += "<details><summary>since the start</summary>" + latencies_of(whole.now, "since the start") + "</details>";
  return section + errors_of(whole) + configuration_of(whole.now) + "</section>";
}

}  // namespace

std::string html_report(const std::vector<MonitorSample>& samples, const std::string& made_at) {
  const MonitorSample& last = samples.back();
  const std::vector<DiskRates> disks = rates_between(samples.front(), last);
  const double seconds = std::chrono::duration<double>(last.at - samples.front().at).count();
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>{0}: disks</title><style>{1}</style></head><body><main><header><h1>{0}</h1>"
      "<p>{2} &middot; {3}</p><p>{4:.0f} s until {5}, {6} samples</p></header>",
      html_escaped(last.vm), kStyle, html_escaped(last.state), html_escaped(last.uuid), seconds, html_escaped(made_at),
      samples.size());
  for (const DiskRates& disk : disks) page += section_of(samples, disk);
  if (disks.empty()) page += "<p>There are no disks.</p>";
  return page +
         "<footer>Latencies are counted in powers of two, so a percentile is known to within its bucket. What each "
         "figure means is in docs/monitoring.md of acrn-dm.</footer></main></body></html>\n";
}

}  // namespace acrn
