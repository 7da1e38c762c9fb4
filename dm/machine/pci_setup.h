// What firmware does with PCI before a kernel starts: BARs placed in the board's windows, decoding on, interrupt lines
// written down. Guests may do it again; those that trust firmware need not.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "acrn/base/result.h"
#include "dm/machine/irq_routing.h"
#include "dm/machine/pci_bus.h"

namespace acrn {

// Where BARs go in the windows, in their order: addresses, 0 for an absent one. Pure. kUsage: they do not fit.
Result<std::vector<uint32_t>> place_bars(std::span<const BarShape> bars);

// Fails if the BARs do not fit the windows.
Result<void> set_up_pci(PciBus& bus, const PciLines& lines);

}  // namespace acrn
