// DeviceReport: what a device says of itself while it runs, for people and monitors.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "acrn/block/disk_stats.h"
#include "dm/devices/device.h"

namespace acrn {

struct DeviceReport {
  std::string slot;       // "0:9:0"
  std::string emulation;  // "virtio-blk"
  std::string source;     // as the user wrote it, like "disk.img"; empty for a bridge
  std::vector<QueueStats> queues;
  DiskLimits limits;
  uint64_t delayed = 0;                                               // requests that had to wait for them
  using Counts = std::vector<std::pair<std::string_view, uint64_t>>;  // by name; no zeroes
  Counts guest_errors, vmm_errors;  // rules that the guest broke, and the VMM that has it
  std::optional<uint64_t> bytes;    // of a disk: its size
  std::optional<uint64_t> clients;  // of one that is served: how many there are now
};

// Adds what a disk has counted.
inline void add_counts(DiskControl& disk, DeviceReport& report) {
  report.bytes = disk.size();
  report.queues = disk.stats();
  report.limits = disk.throttled().group().limits();
  report.delayed = disk.throttled().delayed();
  for (size_t i = 0; i < kGuestRules; i++) {
    const auto rule = static_cast<GuestRule>(i);
    auto& counts = is_vmms(rule) ? report.vmm_errors : report.guest_errors;
    if (const uint64_t count = disk.guest_errors().count(rule); count != 0) counts.emplace_back(text(rule).name, count);
  }
}

// As `stats` of the control socket shows it (docs/control-socket.md), and as one line of text. A path need not be
// UTF-8, JSON must be: bytes that are not come out as U+FFFD.
nlohmann::ordered_json to_json(const DeviceReport& report);
// Those there are: by name, a rate and a burst that was given.
nlohmann::ordered_json to_json(const DiskLimits& limits);
std::string to_text(const nlohmann::ordered_json& json);
std::string to_text(const DeviceReport& report);

}  // namespace acrn
