// A PCI identity of hw/ as what a guest will read.
#pragma once

#include "dm/devices/device.h"
#include "hw/pci/config_space.h"

namespace acrn {

inline PciFunctionInfo function_info(const PciIdentity& identity) {
  return {.vendor = identity.vendor,
          .device = identity.device,
          .class_code = identity.class_code,
          .subsystem_vendor = identity.subsystem_vendor,
          .subsystem = identity.subsystem};
}

}  // namespace acrn
