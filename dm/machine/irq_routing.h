// Which interrupt line a PCI pin is wired to: what INTERRUPT_LINE and ACPI's _PRT (dsdt.asl) say (docs/adr/0011).
#pragma once

#include <array>
#include <cstdint>

#include "acrn/pci/pci_function.h"

namespace acrn {

using PciLines = std::array<uint8_t, 3>;  // global system interrupts, see HypervisorTraits

// `pin`: 1 is INTA#, as in the configuration space.
constexpr uint8_t pci_line(const PciLines& lines, PciAddress address, uint8_t pin) {
  return lines[(address.slot + (pin - 1u) % 4) % lines.size()];
}

}  // namespace acrn
