// What a benchmark found, as a table or as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dm/tools/bench/options.h"
#include "dm/tools/bench/stats.h"

namespace acrn {

// The device, or one direct method.
struct BenchSide {
  std::string name;
  BenchSeries series;
};

struct BenchReport {
  const BenchOptions& options;  // depth is what the ring holds
  unsigned asked_depth = 0;
  unsigned jobs = 0, queues = 0;
  uint64_t bytes = 0;  // of the disk, that were worked on
  BenchSide device;
  std::vector<BenchSide> direct;
  std::string left_out;               // a direct method, and why
  std::optional<uint64_t> read_back;  // blocks, of --verify

  // The direct method with the better median; none: nothing to compare with.
  const BenchSide* best_direct() const;
};

void print_bench_table(const BenchReport& report);
void print_bench_json(const BenchReport& report);

}  // namespace acrn
