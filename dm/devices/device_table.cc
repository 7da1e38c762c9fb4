#include "dm/devices/device_table.h"

#include "dm/devices/block_device.h"
#include "dm/devices/bridges.h"

namespace acrn {
namespace {

constexpr DeviceRow kDevices[] = {
    {.name = "virtio-blk",
     .parse = block_device::parse,
     .describe = block_device::describe,
     .check_vcpus = block_device::check_vcpus,
     .inspect = block_device::inspect,
     .create = block_device::create,
     .create_bare = block_device::create_bare,
     .create_disk = block_device::create_disk,
     .to_json = block_device::to_json,
     .servable = true,
     .help = "a disk"},
    {.name = "hostbridge",
     .inspect = bridges::inspect<kHostBridgeIdentity>,
     .create = bridges::create<kHostBridgeIdentity>,
     .help = "the host bridge; added at 0:0 if none is given"},
    {.name = "cloudhv_hostbridge",
     .inspect = bridges::inspect<kCloudHvBridgeIdentity>,
     .create = bridges::create<kCloudHvBridgeIdentity>,
     .help = "the host bridge that firmware looks for; with --ovmf every hostbridge is one"},
    {.name = "lpc",
     .inspect = bridges::inspect<kLpcIdentity>,
     .create = bridges::create<kLpcIdentity>,
     .only_one = "LPC bridge",
     .help = "the LPC bridge of the serial ports; at most one"},
};

}  // namespace

DeviceTable device_table() { return kDevices; }

Result<DeviceFacts> inspect_device(const PciSlotConfig& slot, const VirtioOptions& virtio) {
  auto facts = slot.device->inspect(slot, virtio);
  if (!facts) return in_slot(slot, facts.error());
  return facts;
}

Result<std::unique_ptr<Device>> create_device(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                              IrqPin& pin) {
  auto device = slot.device->create(slot, environment, pin);
  if (!device) return in_slot(slot, device.error());
  return device;
}

Result<std::unique_ptr<BareDevice>> create_bare_device(const PciSlotConfig& slot,
                                                       const VirtioEnvironment& environment) {
  auto device = slot.device->create_bare(slot, environment);
  if (!device) return in_slot(slot, device.error());
  return device;
}

Result<std::unique_ptr<BareDisk>> create_bare_disk(const PciSlotConfig& slot, EventLoop& loop,
                                                   ThrottleGroups* throttles, DeviceEvents* events) {
  auto disk = slot.device->create_disk(slot, loop, throttles, events);
  if (!disk) return in_slot(slot, disk.error());
  return disk;
}

}  // namespace acrn
