#include "dm/tools/monitor/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/tools/monitor/cells.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kPlain = "", kBold = "\033[1m", kInverse = "\033[7m", kRed = "\033[31m", kDim = "\033[2m";
constexpr std::string_view kEnd = "\033[m";
constexpr size_t kSlotColumns = 8, kSourceColumns = 16, kColumns = 80;

// Those that have a line of their own, as it calls them.
constexpr std::array<std::pair<DiskRequestKind, std::string_view>, 5> kShown{
    {{DiskRequestKind::kRead, "read"},
     {DiskRequestKind::kWrite, "write"},
     {DiskRequestKind::kFlush, "flush"},
     {DiskRequestKind::kDiscard, "discard"},
     {DiskRequestKind::kWriteZeroes, "zeroes"}}};

struct Line {
  std::string text;
  std::string_view style = kPlain;
};

// The columns that a frame and a line have in common.
std::string number_titles() {
  return fmt::format("{:>7}{:>7}{:>8}{:>7}{:>6}{:>7}{:>7}{:>6}", "READ/s", "MB/s", "WRITE/s", "MB/s", "QD", "p50",
                     "p99", "ERR");
}

std::string numbers_of(const DiskRates& disk) {
  const Latency all = disk.counts.latency_of(LatencyStage::kAll);
  const auto megabytes = [&](uint64_t bytes) { return short_number(disk.per_second(bytes) / 1e6); };
  return fmt::format("{:>7}{:>7}{:>8}{:>7}{:>6}{:>7}{:>7}{:>6}", short_number(disk.reads()),
                     megabytes(disk.counts.bytes_read), short_number(disk.writes()),
                     megabytes(disk.counts.bytes_written), short_number(static_cast<double>(disk.now.in_flight)),
                     all.count() == 0 ? "-" : short_time(quantile_of(all, 0.5)),
                     all.count() == 0 ? "-" : short_time(quantile_of(all, 0.99)),
                     short_number(static_cast<double>(disk.now.errors())));
}

// How high each bucket is, compared with the highest; anything at all is at least the lowest step.
std::string bar_of(const Latency& latency, bool unicode) {
  constexpr std::array<std::string_view, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::array<std::string_view, 9> kAscii{" ", ".", ":", "-", "=", "+", "*", "#", "@"};
  const uint64_t highest = *std::max_element(latency.buckets.begin(), latency.buckets.end());
  std::string bar;
  for (const uint64_t count : latency.buckets) {
    const double part = highest == 0 ? 0 : static_cast<double>(count) / static_cast<double>(highest);
    const size_t step = count == 0 ? 0 : std::max<size_t>(1, static_cast<size_t>(part * 8));
    bar += (unicode ? kBlocks : kAscii)[std::min<size_t>(step, 8)];
  }
  return bar;
}

std::string operation_line(const DiskCounts& counts, size_t kind, std::string_view name, bool unicode) {
  const Latency& all = counts.latency_of(kind, LatencyStage::kAll);
  std::string bar = concat("  ", cell(name, kSlotColumns, CutAt::kEnd, false), bar_of(all, unicode));
  if (all.count() == 0) return bar;
  return bar + fmt::format(" p50 {:<6} p99 {:<6} ring {:<6} eng {:<6}", short_time(quantile_of(all, 0.5)),
                           short_time(quantile_of(all, 0.99)),
                           short_time(mean_of(counts.latency_of(kind, LatencyStage::kRing))),
                           short_time(mean_of(counts.latency_of(kind, LatencyStage::kEngine))));
}

// "write ENOSPC 3 (+1)  read EIO 2"
std::string counts_text(const std::map<std::string, uint64_t>& now, const std::map<std::string, uint64_t>& more) {
  std::string text;
  for (const auto& [name, count] : now) {
    const auto grown = more.find(name);
    text += fmt::format("  {} {}", name, count);
    if (grown != more.end()) text += fmt::format(" (+{})", grown->second);
  }
  return text;
}

// What is wrong with a disk, if anything is; red while it goes on.
void add_troubles(const DiskRates& disk, std::vector<Line>& lines) {
  if (disk.counts.delayed != 0) {
    lines.push_back({fmt::format("  limits: {} requests had to wait", disk.counts.delayed)});
  }
  if (disk.now.held != 0) {
    lines.push_back({fmt::format("  held: {} requests that failed wait for resume", disk.now.held), kRed});
  }
  if (disk.now.stopped_queues != 0) {
    lines.push_back(
        {fmt::format("  stopped: {} of {} queues until the driver resets it", disk.now.stopped_queues, disk.now.queues),
         kRed});
  }
  for (const auto& [what, now, more] :
       {std::tuple{"host errors:", &disk.now.host_errors, &disk.counts.host_errors},
        std::tuple{"guest errors:", &disk.now.guest_errors, &disk.counts.guest_errors}}) {
    if (now->empty()) continue;
    lines.push_back({concat("  ", what, counts_text(*now, *more)), more->empty() ? kPlain : kRed});
  }
}

std::string disk_line(const DiskRates& disk, const TopLook& look) {
  const size_t source_columns = kSourceColumns + look.columns - std::min(look.columns, kColumns);
  std::string source = disk.now.source;
  if (disk.now.clients) source = concat("[", *disk.now.clients, "] ", source);
  return concat(cell(disk.now.slot, kSlotColumns, CutAt::kEnd, look.unicode), " ",
                cell(source, source_columns, disk.now.clients ? CutAt::kEnd : CutAt::kFront, look.unicode),
                numbers_of(disk));
}

std::string title_line(const TopLook& look) {
  const size_t source_columns = kSourceColumns + look.columns - std::min(look.columns, kColumns);
  return concat(cell("SLOT", kSlotColumns, CutAt::kEnd, false), " ", cell("SOURCE", source_columns, CutAt::kEnd, false),
                number_titles());
}

std::string status_line(const MonitorSample& sample, const TopLook& look) {
  const std::string right = fmt::format("every {} s  {}  q quits", look.interval, look.clock);
  const std::string left = fmt::format("{}  {}  {} disk{}", sample.vm, sample.state, sample.disks.size(),
                                       sample.disks.size() == 1 ? "" : "s");
  const size_t columns = look.columns - std::min(look.columns, right.size() + 1);
  return concat(cell(left, columns, CutAt::kEnd, look.unicode), " ", right);
}

std::vector<Line> lines_of(const std::vector<DiskRates>& disks, const TopLook& look, bool with_bars) {
  std::vector<Line> lines;
  for (const DiskRates& disk : disks) {
    lines.push_back({disk_line(disk, look), disk.now.stopped_queues != 0 ? kRed : kPlain});
    for (const auto& [kind, name] : kShown) {
      const auto index = static_cast<size_t>(kind);
      if (!with_bars || disk.now.latency_of(index, LatencyStage::kAll).count() == 0) continue;
      lines.push_back({operation_line(disk.counts, index, name, look.unicode)});
    }
    add_troubles(disk, lines);
  }
  return lines;
}

Json latency_json(const Latency& latency) {
  return {{"p50_us", quantile_of(latency, 0.5) / 1e3}, {"p99_us", quantile_of(latency, 0.99) / 1e3}};
}

Json disk_json(const DiskRates& disk) {
  const DiskCounts& counts = disk.counts;
  Json json{{"slot", disk.now.slot},
            {"source", disk.now.source},
            {"read_iops", disk.reads()},
            {"write_iops", disk.writes()},
            {"read_bytes_per_second", disk.per_second(counts.bytes_read)},
            {"written_bytes_per_second", disk.per_second(counts.bytes_written)},
            {"in_flight", disk.now.in_flight}};
  json.update(latency_json(counts.latency_of(LatencyStage::kAll)));
  json["host_errors"] = disk.now.host_errors;
  json["guest_errors"] = disk.now.guest_errors;
  json["stopped_queues"] = disk.now.stopped_queues;
  json["held"] = disk.now.held;
  json["delayed"] = counts.delayed;
  Json& operations = json["operations"] = Json::object();
  for (size_t kind = 0; kind < kDiskRequestNames.size(); kind++) {
    const Latency& all = counts.latency_of(kind, LatencyStage::kAll);
    if (all.count() == 0) continue;
    Json operation{{"iops", disk.per_second(counts.requests[kind])}};
    operation.update(latency_json(all));
    operation["ring_mean_us"] = mean_of(counts.latency_of(kind, LatencyStage::kRing)) / 1e3;
    operation["engine_mean_us"] = mean_of(counts.latency_of(kind, LatencyStage::kEngine)) / 1e3;
    operations[std::string(kDiskRequestNames[kind])] = std::move(operation);
  }
  return json;
}

}  // namespace

std::vector<std::string> top_frame(const MonitorSample& earlier, const MonitorSample& later, const TopLook& look) {
  const std::vector<DiskRates> disks = rates_between(earlier, later);
  std::vector<Line> lines{{status_line(later, look), kBold}, {title_line(look), kInverse}};
  std::vector<Line> body = lines_of(disks, look, true);
  const size_t room = look.rows - std::min<size_t>(look.rows, 3);
  const bool with_bars = body.size() <= room;
  if (with_bars) {
    lines.push_back({"          <1us      1ms       1s", kDim});
  } else {
    body = lines_of(disks, look, false);
  }
  if (body.size() > room + 1) {
    body.resize(room);
    body.push_back({"and more, for which this screen is too low"});
  }
  lines.insert(lines.end(), body.begin(), body.end());
  std::vector<std::string> frame;
  for (const Line& line : lines) {
    if (frame.size() == look.rows) break;
    frame.push_back(concat(line.style, cell(line.text, look.columns, CutAt::kEnd, look.unicode), kEnd));
  }
  return frame;
}

std::string top_header() {
  return concat("TIME     ", cell("SLOT", kSlotColumns, CutAt::kEnd, false), number_titles());
}

std::vector<std::string> top_lines(const MonitorSample& earlier, const MonitorSample& later, const std::string& clock) {
  std::vector<std::string> lines;
  for (const DiskRates& disk : rates_between(earlier, later)) {
    lines.push_back(concat(clock, " ", cell(disk.now.slot, kSlotColumns, CutAt::kEnd, true), numbers_of(disk)));
  }
  return lines;
}

Json top_json(const MonitorSample& earlier, const MonitorSample& later) {
  Json disks = Json::array();
  for (const DiskRates& disk : rates_between(earlier, later)) disks.push_back(disk_json(disk));
  return {{"vm", later.vm},
          {"state", later.state},
          {"seconds", std::chrono::duration<double>(later.at - earlier.at).count()},
          {"disks", std::move(disks)}};
}

}  // namespace acrn
