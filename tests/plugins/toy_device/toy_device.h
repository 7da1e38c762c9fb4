// A device with one register in an I/O BAR, which keeps what a guest writes to it. It shows what a device needs: one
// folder and one row.
#pragma once

#include <memory>

#include "dm/devices/device.h"

namespace acrn::toy_device {

Result<DeviceFacts> inspect(const PciSlotConfig& slot, const VirtioOptions& virtio);
Result<std::unique_ptr<Device>> create(const PciSlotConfig& slot, const DeviceEnvironment& environment, IrqPin& pin);

inline constexpr DeviceRow kRow{.name = "toy", .inspect = inspect, .create = create, .servable = true};

}  // namespace acrn::toy_device
