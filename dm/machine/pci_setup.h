// What firmware does with PCI before a kernel starts: BARs placed in the board's windows, decoding on, interrupt lines
// written down. Guests may do it again; those that trust firmware need not.
#pragma once

#include "acrn/base/result.h"
#include "dm/machine/irq_routing.h"
#include "dm/machine/pci_bus.h"

namespace acrn {

// Fails if the BARs do not fit the windows.
Result<void> set_up_pci(PciBus& bus, const PciLines& lines);

}  // namespace acrn
