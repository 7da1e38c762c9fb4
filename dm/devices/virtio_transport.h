// The PCI function of a virtio device, as the command line shapes it.
#pragma once

#include "dm/devices/device.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"

namespace acrn {

inline constexpr uint16_t kOracleVendor = 0x108e;  // --windows: what the Windows driver of ACRN binds to

inline VirtioPciOptions transport_options(const VirtioOptions& virtio) {
  return {.single_msi = virtio.single_msi, .subsystem_vendor = virtio.windows ? kOracleVendor : VIRTIO_PCI_VENDOR_ID};
}

}  // namespace acrn
