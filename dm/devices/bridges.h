// The bridges of a board, as far as guests look at them: functions that have an identity and nothing else.
#pragma once

#include <memory>

#include "dm/devices/device.h"
#include "dm/devices/function_info.h"
#include "hw/pci/identity_function.h"

namespace acrn::bridges {

template <const PciIdentity& identity>
Result<DeviceFacts> inspect(const PciSlotConfig&, const VirtioOptions&) {
  return DeviceFacts{.function = function_info(identity)};
}

Result<std::unique_ptr<Device>> create(const PciIdentity& identity);
template <const PciIdentity& identity>
Result<std::unique_ptr<Device>> create(const PciSlotConfig&, const DeviceEnvironment&, IrqPin&) {
  return create(identity);
}

}  // namespace acrn::bridges
