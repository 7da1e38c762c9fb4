#include "dm/tools/monitor/sample.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

using Json = nlohmann::json;

const Json& member(const Json& json, std::string_view name) {
  static const Json kNone;
  const auto found = json.is_object() ? json.find(name) : json.end();
  return json.is_object() && found != json.end() ? *found : kNone;
}

uint64_t number(const Json& json) { return json.is_number_unsigned() ? json.get<uint64_t>() : 0; }
uint64_t number(const Json& json, std::string_view name) { return number(member(json, name)); }

std::optional<uint64_t> optional_number(const Json& json, std::string_view name) {
  const Json& value = member(json, name);
  return value.is_number_unsigned() ? std::optional(number(value)) : std::nullopt;
}

std::string text(const Json& json, std::string_view name) {
  const Json& value = member(json, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

Latency parse_latency(const Json& json) {
  Latency latency{.nanoseconds = number(json, "sum_ns")};
  const Json& buckets = member(json, "us_below");
  for (size_t i = 0; i < kLatencyBuckets; i++) {
    const bool last = i + 1 == kLatencyBuckets;
    latency.buckets[i] = number(buckets, last ? "more" : std::to_string(uint64_t{1} << i));
  }
  return latency;
}

void add_queue(const Json& queue, DiskCounts& disk) {
  disk.queues++;
  const Json& stopped = member(queue, "stopped");
  if (stopped.is_boolean() && stopped.get<bool>()) disk.stopped_queues++;
  disk.in_flight += number(queue, "in_flight");
  disk.held += number(queue, "held");
  disk.bytes_read += number(queue, "bytes_read");
  disk.bytes_written += number(queue, "bytes_written");
  for (size_t kind = 0; kind < kDiskRequestNames.size(); kind++) {
    const std::string_view name = kDiskRequestNames[kind];
    disk.requests[kind] += number(member(queue, "requests"), name);
    const Json& stages = member(member(queue, "latency"), name);
    for (size_t stage = 0; stage < kLatencyStageNames.size(); stage++) {
      disk.latency[kind][stage].add(parse_latency(member(stages, kLatencyStageNames[stage])));
    }
  }
  const Json& errors = member(queue, "errors");
  disk.io_errors += number(errors, "ioerr");
  disk.unsupported += number(errors, "unsupp");
  const Json& host = member(errors, "host");
  for (const auto& [operation, counts] : host.items()) {
    if (!counts.is_object()) continue;
    for (const auto& [error, count] : counts.items()) disk.host_errors[concat(operation, " ", error)] += number(count);
  }
}

DiskCounts parse_disk(const Json& function) {
  DiskCounts disk{.slot = text(function, "slot"),
                  .emulation = text(function, "emulation"),
                  .source = text(function, "source"),
                  .bytes = optional_number(function, "bytes"),
                  .clients = optional_number(function, "clients"),
                  .delayed = number(function, "delayed")};
  const Json& queues = member(function, "queues");
  for (size_t i = 0; queues.is_array() && i < queues.size(); i++) add_queue(queues[i], disk);
  for (const char* const who : {"mistakes", "vmm_mistakes"}) {
    const Json& rules = member(function, who);
    if (!rules.is_object()) continue;
    for (const auto& [rule, count] : rules.items()) disk.guest_errors[rule] += number(count);
  }
  return disk;
}

uint64_t grown(uint64_t later, uint64_t earlier) { return later >= earlier ? later - earlier : later; }

std::map<std::string, uint64_t> grown(const std::map<std::string, uint64_t>& later,
                                      const std::map<std::string, uint64_t>& earlier) {
  std::map<std::string, uint64_t> result;
  for (const auto& [name, count] : later) {
    const auto before = earlier.find(name);
    const uint64_t more = grown(count, before == earlier.end() ? 0 : before->second);
    if (more != 0) result[name] = more;
  }
  return result;
}

Latency grown(const Latency& later, const Latency& earlier) {
  Latency result{.nanoseconds = grown(later.nanoseconds, earlier.nanoseconds)};
  for (size_t i = 0; i < kLatencyBuckets; i++) result.buckets[i] = grown(later.buckets[i], earlier.buckets[i]);
  return result;
}

}  // namespace

Latency DiskCounts::latency_of(LatencyStage stage) const {
  Latency sum;
  for (size_t kind = 0; kind < latency.size(); kind++) sum.add(latency_of(kind, stage));
  return sum;
}

uint64_t DiskCounts::errors() const {
  uint64_t sum = 0;
  for (const auto& [what, count] : host_errors) sum += count;
  for (const auto& [rule, count] : guest_errors) sum += count;
  return sum;
}

const DiskCounts* MonitorSample::find(const std::string& slot) const {
  const auto found =
      std::find_if(disks.begin(), disks.end(), [&](const DiskCounts& each) { return each.slot == slot; });
  return found == disks.end() ? nullptr : &*found;
}

MonitorSample parse_sample(const Json& status, const Json& stats, std::chrono::steady_clock::time_point at) {
  MonitorSample sample{
      .at = at, .vm = text(status, "vm"), .uuid = text(status, "uuid"), .state = text(status, "state"), .disks = {}};
  const Json& functions = member(stats, "functions");
  for (size_t i = 0; functions.is_array() && i < functions.size(); i++) {
    DiskCounts disk = parse_disk(functions[i]);
    if (disk.bytes) sample.disks.push_back(std::move(disk));  // others are no disks
  }
  return sample;
}

DiskCounts difference(const DiskCounts& later, const DiskCounts& earlier) {
  DiskCounts result = later;
  for (size_t kind = 0; kind < result.requests.size(); kind++) {
    result.requests[kind] = grown(later.requests[kind], earlier.requests[kind]);
    for (size_t stage = 0; stage < kLatencyStageNames.size(); stage++) {
      result.latency[kind][stage] = grown(later.latency[kind][stage], earlier.latency[kind][stage]);
    }
  }
  result.bytes_read = grown(later.bytes_read, earlier.bytes_read);
  result.bytes_written = grown(later.bytes_written, earlier.bytes_written);
  result.delayed = grown(later.delayed, earlier.delayed);
  result.io_errors = grown(later.io_errors, earlier.io_errors);
  result.unsupported = grown(later.unsupported, earlier.unsupported);
  result.host_errors = grown(later.host_errors, earlier.host_errors);
  result.guest_errors = grown(later.guest_errors, earlier.guest_errors);
  return result;
}

std::vector<DiskRates> rates_between(const MonitorSample& earlier, const MonitorSample& later) {
  const double seconds = std::chrono::duration<double>(later.at - earlier.at).count();
  std::vector<DiskRates> rates;
  for (const DiskCounts& disk : later.disks) {
    const DiskCounts* const before = earlier.find(disk.slot);
    rates.push_back({disk, difference(disk, before != nullptr ? *before : disk), seconds});
  }
  return rates;
}

double quantile_of(const Latency& latency, double quantile) {
  const double rank = quantile * static_cast<double>(latency.count());
  double below = 0;
  for (size_t i = 0; i < kLatencyBuckets; i++) {
    const auto inside = static_cast<double>(latency.buckets[i]);
    if (inside == 0 || below + inside < rank) {
      below += inside;
      continue;
    }
    const double end = static_cast<double>(uint64_t{1000} << i), begin = i == 0 ? 0 : end / 2;
    if (i + 1 == kLatencyBuckets) return begin;  // it has no end
    return begin + (end - begin) * (rank - below) / inside;
  }
  return 0;
}

double mean_of(const Latency& latency) {
  const uint64_t count = latency.count();
  return count == 0 ? 0 : static_cast<double>(latency.nanoseconds) / static_cast<double>(count);
}

}  // namespace acrn
