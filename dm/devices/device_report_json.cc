#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "acrn/base/errno_name.h"
#include "dm/devices/device_report.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

// The buckets that hold something, by the upper end of each in microseconds.
Json buckets_json(const Latency& latency) {
  Json json = Json::object();
  for (size_t i = 0; i < kLatencyBuckets; i++) {
    if (latency.buckets[i] == 0) continue;
    json[i + 1 == kLatencyBuckets ? std::string("more") : std::to_string(uint64_t{1} << i)] = latency.buckets[i];
  }
  return json;
}

// Of each operation that was returned, each stage.
Json latency_json(const QueueStats& stats) {
  Json json = Json::object();
  for (size_t kind = 0; kind < kDiskRequestNames.size(); kind++) {
    if (stats.latency_of(kind, LatencyStage::kAll).count() == 0) continue;
    Json& stages = json[std::string(kDiskRequestNames[kind])];
    for (size_t stage = 0; stage < kLatencyStageNames.size(); stage++) {
      const Latency& latency = stats.latency[kind][stage];
      stages[std::string(kLatencyStageNames[stage])] = {{"sum_ns", latency.nanoseconds},
                                                        {"us_below", buckets_json(latency)}};
    }
  }
  return json;
}

Json host_errors_json(const QueueStats& stats) {
  Json json = Json::object();
  for (const auto& [operation, error, count] : stats.host_errors) {
    json[std::string(kDiskOperationNames[operation])][errno_name(error)] = count;
  }
  return json;
}

Json queue_json(const QueueStats& stats) {
  Json requests = Json::object();
  for (size_t i = 0; i < kDiskRequestNames.size(); i++) requests[std::string(kDiskRequestNames[i])] = stats.requests[i];
  return {{"requests", std::move(requests)},
          {"bytes_read", stats.bytes_read},
          {"bytes_written", stats.bytes_written},
          {"errors", {{"ioerr", stats.io_errors}, {"unsupp", stats.unsupported}, {"host", host_errors_json(stats)}}},
          {"overdue", stats.overdue},
          {"stopped", stats.stopped},
          {"stops", stats.stops},
          {"kicks", stats.kicks},
          {"polls", stats.polls},
          {"interrupts", stats.interrupts},
          {"in_flight", stats.in_flight},
          {"held", stats.held},
          {"latency_us_below", buckets_json(stats.latency_of(LatencyStage::kEngine))},
          {"latency", latency_json(stats)}};
}

Json counts_json(const DeviceReport::Counts& counts) {
  Json json = Json::object();
  for (const auto& [name, count] : counts) json[std::string(name)] = count;
  return json;
}

}  // namespace

Json to_json(const DiskLimits& limits) {
  Json json = Json::object();
  for (size_t i = 0; i < limits.limits.size(); i++) {
    const RateLimit& limit = limits.limits[i];
    if (limit.rate != 0) json[std::string(kLimitNames[i])] = limit.rate;
    if (limit.burst != 0) json[concat(kLimitNames[i], "_burst")] = limit.burst;
  }
  return json;
}

Json to_json(const DeviceReport& report) {
  Json queues = Json::array();
  for (const QueueStats& stats : report.queues) queues.push_back(queue_json(stats));
  Json json = {{"slot", report.slot}, {"emulation", report.emulation}};
  if (!report.source.empty()) json["source"] = report.source;
  if (report.bytes) json["bytes"] = *report.bytes;
  if (report.clients) json["clients"] = *report.clients;
  json["queues"] = std::move(queues);
  if (!report.queues.empty()) {
    json["limits"] = to_json(report.limits);
    json["delayed"] = report.delayed;
  }
  json["mistakes"] = counts_json(report.guest_errors);
  json["vmm_mistakes"] = counts_json(report.vmm_errors);
  return json;
}

std::string to_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string to_text(const DeviceReport& report) { return to_text(to_json(report)); }

}  // namespace acrn
