// A PCI function around a virtio device that is made elsewhere.
#pragma once

#include <memory>
#include <string>

#include "dm/devices/device.h"

namespace acrn {

// In slot "0:9:0". It is no disk of ours: there is no DiskControl. The environment outlives it, and the pin.
std::unique_ptr<Device> make_transport_device(std::unique_ptr<VirtioDevice> device, const std::string& slot,
                                              const DeviceEnvironment& environment, IrqPin& pin);

}  // namespace acrn
