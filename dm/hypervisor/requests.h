// Which requests each hypervisor's part makes of its device once the VM is set up, for the filter of system calls
// (dm/sandbox). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace acrn {

struct DeviceRequest {
  std::string_view name;
  uint32_t number;
};

struct DeviceRequests {
  std::span<const DeviceRequest> guest;       // what a virtual CPU's thread asks for: that the guest runs
  std::span<const DeviceRequest> interrupts;  // what whoever serves a device asks for
  std::span<const DeviceRequest> control;     // pause, reset and end
};

DeviceRequests kvm_requests();
DeviceRequests acrn_requests();

}  // namespace acrn
