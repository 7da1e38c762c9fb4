#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "dm/tools/bench/bench_run.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

Json describe(const BenchSeries& series, uint32_t block) {
  const BenchRound& total = series.total;
  Json json{{"iops", series.median_iops()},
            {"mb_per_second", series.median_iops() * block / 1e6},
            {"p50_us", series.microseconds(0.5)},
            {"p99_us", series.microseconds(0.99)},
            {"p999_us", series.microseconds(0.999)},
            {"cpu_seconds_per_million", series.cpu_seconds_per_io() * 1e6},
            {"kicks_per_io", series.kicks_per_io()},
            {"interrupts_per_io", series.interrupts_per_io()},
            {"context_switches_per_io", series.context_switches_per_io()},
            {"requests", total.latency.count()},
            {"errors", total.errors},
            {"round_iops", series.iops}};
  if (const LatencyHistogram& kicks = total.kick_time; kicks.count() != 0) {
    json["kick_p50_us"] = kicks.microseconds(0.5);
    json["kick_p999_us"] = kicks.microseconds(0.999);
  }
  if (!total.first_error.empty()) json["first_error"] = total.first_error;
  return json;
}

struct Ratios {
  double iops, cpu, p99;
};

Ratios ratios(const BenchSeries& device, const BenchSeries& direct) {
  return {ratio(device.median_iops(), direct.median_iops()),
          ratio(device.cpu_seconds_per_io(), direct.cpu_seconds_per_io()),
          ratio(device.microseconds(0.99), direct.microseconds(0.99))};
}

// With that many digits behind the point, or as many as fit: a row has 80 columns.
std::string column(double value, size_t width, int digits) {
  for (; digits >= 0; digits--) {
    const std::string text = fmt::format("{:.{}f}", value, digits);
    if (text.size() < width) return fmt::format("{:>{}}", text, width);
  }
  return fmt::format("{:>{}.0e}", value, width);
}

constexpr size_t kIops = 8, kBytes = 6, kLatency = 7, kTail = 9, kCpu = 7, kPerRequest = 6, kSwitches = 9, kErrors = 7;

void print_header() {
  fmt::print("{:<8}{:>{}}{:>{}}{:>{}}{:>{}}{:>{}}{:>{}}{:>{}}{:>{}}{:>{}}{:>{}}\n", "", "IOPS", kIops, "MB/s", kBytes,
             "p50 us", kLatency, "p99 us", kLatency, "p99.9 us", kTail, "CPUs/M", kCpu, "kicks", kPerRequest, "irqs",
             kPerRequest, "switches", kSwitches, "errors", kErrors);
}

void print_row(const BenchSide& side, uint32_t block) {
  const BenchSeries& series = side.series;
  fmt::print("{:<8}{:>{}.0f}", side.name, series.median_iops(), kIops);
  for (const auto& [value, width, digits] : {std::tuple{series.median_iops() * block / 1e6, kBytes, 1},
                                             {series.microseconds(0.5), kLatency, 1},
                                             {series.microseconds(0.99), kLatency, 1},
                                             {series.microseconds(0.999), kTail, 1},
                                             {series.cpu_seconds_per_io() * 1e6, kCpu, 2},
                                             {series.kicks_per_io(), kPerRequest, 3},
                                             {series.interrupts_per_io(), kPerRequest, 3},
                                             {series.context_switches_per_io(), kSwitches, 3}}) {
    fmt::print("{}", column(value, width, digits));
  }
  fmt::print("{:>{}}\n", series.total.errors, kErrors);
}

}  // namespace

const BenchSide* BenchReport::best_direct() const {
  const BenchSide* best = nullptr;
  for (const BenchSide& side : direct) {
    if (best == nullptr || side.series.median_iops() > best->series.median_iops()) best = &side;
  }
  return best;
}

void print_bench_table(const BenchReport& report) {
  const BenchOptions& options = report.options;
  const bool mixed = options.writes() && options.read_percent > 0;
  const std::string pattern = mixed ? fmt::format("{} ({} % reads)", options.rw, options.read_percent) : options.rw;
  const bool short_ring = options.depth < report.asked_depth;
  fmt::print("{}{}of {} bytes, depth {}{}{} job(s) on {} queue(s), medians of {} rounds\n", pattern, mixed ? '\n' : ' ',
             options.block, options.depth, short_ring ? " (what the ring holds; queue_size= makes it larger),\n" : ", ",
             report.jobs, report.queues, kBenchRounds);
  print_header();
  print_row(report.device, options.block);
  for (const BenchSide& side : report.direct) print_row(side, options.block);
  if (!report.left_out.empty()) fmt::print("left out: {}\n", report.left_out);
  if (const BenchSide* const best = report.best_direct()) {
    const Ratios to = ratios(report.device.series, best->series);
    fmt::print("ratio to {}: IOPS {:.2f}, CPU per request {:.2f}, p99 {:.2f}\n", best->name, to.iops, to.cpu, to.p99);
  }
  if (const LatencyHistogram& kicks = report.device.series.total.kick_time; kicks.count() != 0) {
    fmt::print("a kick holds up its thread for {:.1f} us (p50), {:.1f} us (p99), {:.1f} us (p99.9)\n",
               kicks.microseconds(0.5), kicks.microseconds(0.99), kicks.microseconds(0.999));
  }
  if (report.read_back) {
    fmt::print("verified: {} blocks read back, {} reads checked before\n", *report.read_back,
               report.device.series.total.checked);
  }
}

void print_bench_json(const BenchReport& report) {
  const BenchOptions& options = report.options;
  Json json{{"rw", options.rw},
            {"rwmixread", options.read_percent},
            {"bs", options.block},
            {"qd", options.depth},
            {"numjobs", report.jobs},
            {"queues", report.queues},
            {"bytes", report.bytes},
            {"seconds", options.seconds},
            {"ramp", options.ramp},
            {"cold", options.cold},
            {"seed", options.seed},
            {"rounds", kBenchRounds},
            {"device", describe(report.device.series, options.block)}};
  if (const BenchSide* const best = report.best_direct()) {
    json["direct"] = describe(best->series, options.block);
    json["direct_method"] = best->name;
    for (const BenchSide& side : report.direct)
      json["direct_methods"][side.name] = describe(side.series, options.block);
    const Ratios to = ratios(report.device.series, best->series);
    json["ratio"] = to.iops;
    json["cpu_ratio"] = to.cpu;
    json["p99_ratio"] = to.p99;
  }
  if (!report.left_out.empty()) json["left_out"] = report.left_out;
  if (report.read_back)
    json["verify"] = {{"read_back", *report.read_back}, {"checked", report.device.series.total.checked}};
  fmt::print("{}\n", json.dump(2));
}

}  // namespace acrn
