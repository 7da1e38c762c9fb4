// A device that runs, by its slot, and what the control socket may ask of it.
#pragma once

#include <memory>
#include <span>

#include "acrn/base/concat.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device.h"
#include "dm/devices/device_report.h"

namespace acrn {

struct RunningDevice {
  PciSlotConfig slot;
  std::unique_ptr<SlotDevice> device;
};

// The disk in that slot. Errors: kUsage if there is nothing, or something else.
inline Result<DiskControl*> find_disk(std::span<const RunningDevice> devices, PciAddress address) {
  for (const RunningDevice& each : devices) {
    if (each.slot.address != address) continue;
    if (DiskControl* const disk = each.device->disk(); disk != nullptr) return disk;
    return Error{ErrorKind::kUsage, "this slot is not a virtio-blk disk"};
  }
  return Error{ErrorKind::kUsage, concat("there is no function in slot ", short_name(address))};
}

// The disk's limits, once the changes are made, see parse_limits().
inline Result<DiskLimits> change_limits(DiskControl& disk, std::span<const std::string> changes) {
  ThrottleGroup& group = disk.throttled().group();
  auto limits = parse_limits(changes, group.limits());
  if (limits && !changes.empty()) group.set(limits.value());
  return limits;
}

inline DeviceReport report_device(const RunningDevice& running) {
  DeviceReport report{.slot = full_name(running.slot.address),
                      .emulation = std::string(running.slot.device->name),
                      .source = running.device->source()};
  if (DiskControl* const disk = running.device->disk(); disk != nullptr) add_counts(*disk, report);
  return report;
}

}  // namespace acrn
