// The bridges of a board, as far as guests look at them: functions that have an identity and nothing else.
#pragma once

#include <memory>

#include "dm/devices/device.h"

namespace acrn::bridges {

Result<DeviceFacts> inspect_host_bridge(const PciSlotConfig& slot, const VirtioOptions& virtio);
Result<std::unique_ptr<Device>> create_host_bridge(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                                   IrqPin& pin);

Result<DeviceFacts> inspect_lpc(const PciSlotConfig& slot, const VirtioOptions& virtio);
Result<std::unique_ptr<Device>> create_lpc(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                           IrqPin& pin);

}  // namespace acrn::bridges
