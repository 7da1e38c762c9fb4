#include "dm/devices/transport_device.h"

#include <utility>

#include "dm/devices/virtio_transport.h"

namespace acrn {
namespace {

class TransportDevice final : public Device {
 public:
  TransportDevice(std::unique_ptr<VirtioDevice> device, const std::string& slot, const DeviceEnvironment& environment,
                  IrqPin& pin)
      : guest_errors_("virtio " + slot),
        function_(std::move(device), transport_options(environment.virtio), guest_errors_, pin, environment.msi) {}
  PciFunction& function() override { return function_; }

 private:
  GuestErrors guest_errors_;
  VirtioPciLegacy function_;
};

}  // namespace

std::unique_ptr<Device> make_transport_device(std::unique_ptr<VirtioDevice> device, const std::string& slot,
                                              const DeviceEnvironment& environment, IrqPin& pin) {
  return std::make_unique<TransportDevice>(std::move(device), slot, environment, pin);
}

}  // namespace acrn
