// The row of virtio-blk: a legacy virtio-blk function (hw/pci/virtio), the disk behind it (dm/block) and the loops that
// serve its queues. What each function does is said of the members of DeviceRow.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "dm/devices/device.h"

namespace acrn::block_device {

Result<SlotOptions> parse(std::span<const std::string> fields);
std::string describe(const SlotOptions& options);
Result<void> check_vcpus(const SlotOptions& options, unsigned vcpus);
Result<DeviceFacts> inspect(const PciSlotConfig& slot, const VirtioOptions& virtio);
Result<std::unique_ptr<Device>> create(const PciSlotConfig& slot, const DeviceEnvironment& environment, IrqPin& pin);
Result<std::unique_ptr<BareDevice>> create_bare(const PciSlotConfig& slot, const VirtioEnvironment& environment);
Result<std::unique_ptr<BareDisk>> create_disk(const PciSlotConfig& slot, EventLoop& loop, ThrottleGroups* throttles,
                                              DeviceEvents* events);
void to_json(const PciSlotConfig& slot, const DeviceFacts& facts, nlohmann::ordered_json& json);

}  // namespace acrn::block_device
