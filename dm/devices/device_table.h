// The devices that `-s` can name.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "dm/devices/device.h"

namespace acrn {

using DeviceTable = std::span<const DeviceRow>;

// virtio-blk, hostbridge, lpc.
DeviceTable device_table();

// With the devices of that table.
inline Result<PciSlotConfig> parse_slot(std::string_view text) { return parse_slot(text, device_table()); }

// By the slot's row; errors say which slot it is.
Result<DeviceFacts> inspect_device(const PciSlotConfig& slot, const VirtioOptions& virtio);
Result<std::unique_ptr<Device>> create_device(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                              IrqPin& pin);
// Of one that has such a thing.
Result<std::unique_ptr<BareDevice>> create_bare_device(const PciSlotConfig& slot, const VirtioEnvironment& environment);
Result<std::unique_ptr<BareDisk>> create_bare_disk(const PciSlotConfig& slot, EventLoop& loop,
                                                   ThrottleGroups* throttles = nullptr, DeviceEvents* events = nullptr);

}  // namespace acrn
