#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "dm/tools/bench_contest.h"

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
  if (!total.first_error.empty()) json["first_error"] = total.first_error;
  return json;
}

struct Ratios {
  double iops, cpu, p99;
};

Ratios ratios(const BenchSeries& device, const BenchSeries& direct) {
  return {ratio(device.median_iops(), direct.median_iops()), ratio(device.cpu_seconds_per_io(), direct.cpu_seconds_per_io()),
          ratio(device.microseconds(0.99), direct.microseconds(0.99))};
}

void print_row(const BenchSide& side, uint32_t block) {
  const BenchSeries& series = side.series;
  fmt::print("{:<8} {:>10.0f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.2f} {:>8.3f} {:>8.3f} {:>8.3f} {:>7}\n", side.name,
             series.median_iops(), series.median_iops() * block / 1e6, series.microseconds(0.5), series.microseconds(0.99),
             series.microseconds(0.999), series.cpu_seconds_per_io() * 1e6, series.kicks_per_io(),
             series.interrupts_per_io(), series.context_switches_per_io(), series.total.errors);
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
  fmt::print("{}{} of {} bytes, depth {}{}, {} job(s) on {} queue(s), medians of {} rounds\n", options.rw,
             mixed ? fmt::format(" ({} % reads)", options.read_percent) : "", options.block, options.depth,
             options.depth < report.asked_depth ? " (what the ring holds; queue_size= makes it larger)" : "", report.jobs,
             report.queues, kBenchRounds);
  fmt::print("{:<8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>7}\n", "", "IOPS", "MB/s", "p50 us", "p99 us",
             "p99.9 us", "CPUs/M", "kicks", "irqs", "switches", "errors");
  print_row(report.device, options.block);
  for (const BenchSide& side : report.direct) print_row(side, options.block);
  if (!report.left_out.empty()) fmt::print("left out: {}\n", report.left_out);
  if (const BenchSide* const best = report.best_direct()) {
    const Ratios to = ratios(report.device.series, best->series);
    fmt::print("ratio to {}: IOPS {:.2f}, CPU per request {:.2f}, p99 {:.2f}\n", best->name, to.iops, to.cpu, to.p99);
  }
  if (report.read_back) {
    fmt::print("verified: {} blocks read back, {} reads checked before\n", *report.read_back,
               report.device.series.total.checked);
  }
}

void print_bench_json(const BenchReport& report) {
  const BenchOptions& options = report.options;
  Json json{{"rw", options.rw}, {"rwmixread", options.read_percent}, {"bs", options.block}, {"qd", options.depth},
            {"numjobs", report.jobs}, {"queues", report.queues}, {"bytes", report.bytes}, {"seconds", options.seconds},
            {"ramp", options.ramp}, {"cold", options.cold}, {"seed", options.seed}, {"rounds", kBenchRounds},
            {"device", describe(report.device.series, options.block)}};
  if (const BenchSide* const best = report.best_direct()) {
    json["direct"] = describe(best->series, options.block);
    json["direct_method"] = best->name;
    for (const BenchSide& side : report.direct) json["direct_methods"][side.name] = describe(side.series, options.block);
    const Ratios to = ratios(report.device.series, best->series);
    json["ratio"] = to.iops;
    json["cpu_ratio"] = to.cpu;
    json["p99_ratio"] = to.p99;
  }
  if (!report.left_out.empty()) json["left_out"] = report.left_out;
  if (report.read_back) json["verify"] = {{"read_back", *report.read_back}, {"checked", report.device.series.total.checked}};
  fmt::print("{}\n", json.dump(2));
}

}  // namespace acrn
