// What the control socket says of a machine at one moment, and what was between two of them. Whatever the other end
// sends, numbers are numbers and texts are texts; what is missing is 0 or empty. Pure.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "acrn/block/disk_stats.h"

namespace acrn {

// The counts of a disk, since its machine has started, of all queues together.
struct DiskCounts {
  std::string slot, emulation, source;
  std::optional<uint64_t> bytes, clients;
  uint64_t queues = 0, stopped_queues = 0, in_flight = 0, held = 0, delayed = 0;
  std::array<uint64_t, kDiskRequestNames.size()> requests{};
  uint64_t bytes_read = 0, bytes_written = 0;
  uint64_t io_errors = 0, unsupported = 0;
  // By DiskRequestKind and LatencyStage.
  std::array<std::array<Latency, kLatencyStageNames.size()>, kDiskRequestNames.size()> latency{};
  std::map<std::string, uint64_t> host_errors;   // by "write ENOSPC"
  std::map<std::string, uint64_t> guest_errors;  // by rule; the VMM's too

  uint64_t of(DiskRequestKind kind) const { return requests[static_cast<size_t>(kind)]; }
  const Latency& latency_of(size_t kind, LatencyStage stage) const { return latency[kind][static_cast<size_t>(stage)]; }
  Latency latency_of(LatencyStage stage) const;  // of all kinds
  uint64_t errors() const;                       // of the host's and the guest's
};

struct MonitorSample {
  std::chrono::steady_clock::time_point at;
  std::string vm, uuid, state;
  std::vector<DiskCounts> disks;

  // Null: it has none there.
  const DiskCounts* find(const std::string& slot) const;
};

// Out of the results of the commands `status` and `stats`.
MonitorSample parse_sample(const nlohmann::json& status, const nlohmann::json& stats,
                           std::chrono::steady_clock::time_point at);

// What was counted between two samples; gauges and texts are the later one's. A count that has fallen, since the
// machine is another one now, counts from 0.
DiskCounts difference(const DiskCounts& later, const DiskCounts& earlier);

// A disk in a stretch of time.
struct DiskRates {
  DiskCounts now;     // since the machine's start
  DiskCounts counts;  // in that stretch
  double seconds = 0;

  double per_second(uint64_t count) const { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }
  double reads() const { return per_second(counts.of(DiskRequestKind::kRead)); }
  double writes() const { return per_second(counts.of(DiskRequestKind::kWrite)); }
};
std::vector<DiskRates> rates_between(const MonitorSample& earlier, const MonitorSample& later);

// Nanoseconds that the fraction `quantile` of them took at most, evenly spread within a bucket; 0 without any.
double quantile_of(const Latency& latency, double quantile);
double mean_of(const Latency& latency);

}  // namespace acrn
