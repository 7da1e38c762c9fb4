#include "dm/devices/bridges.h"

#include "dm/devices/function_info.h"
#include "hw/pci/identity_function.h"

namespace acrn::bridges {
namespace {

class Bridge final : public Device {
 public:
  explicit Bridge(const PciIdentity& identity) : function_(identity) {}
  PciFunction& function() override { return function_; }

 private:
  IdentityFunction function_;
};

DeviceFacts facts_of(const PciIdentity& identity) { return {.function = function_info(identity)}; }

}  // namespace

Result<DeviceFacts> inspect_host_bridge(const PciSlotConfig&, const VirtioOptions&) {
  return facts_of(kHostBridgeIdentity);
}

Result<std::unique_ptr<Device>> create_host_bridge(const PciSlotConfig&, const DeviceEnvironment&, IrqPin&) {
  return std::unique_ptr<Device>(std::make_unique<Bridge>(kHostBridgeIdentity));
}

Result<DeviceFacts> inspect_lpc(const PciSlotConfig&, const VirtioOptions&) { return facts_of(kLpcIdentity); }

Result<std::unique_ptr<Device>> create_lpc(const PciSlotConfig&, const DeviceEnvironment&, IrqPin&) {
  return std::unique_ptr<Device>(std::make_unique<Bridge>(kLpcIdentity));
}

}  // namespace acrn::bridges
