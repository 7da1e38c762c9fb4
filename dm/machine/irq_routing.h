// Which interrupt line a PCI pin is wired to. The same line serves the PIC (INTERRUPT_LINE) and, as a global system
// interrupt, the I/O APIC (_PRT in dsdt.asl), so a guest may use either (docs/adr/0011).
#pragma once

#include <array>
#include <cstdint>

#include "acrn/pci/pci_function.h"

namespace acrn {

inline constexpr std::array<uint8_t, 3> kPciLines{5, 10, 11};  // level-triggered

// `pin`: 1 is INTA#, as in the configuration space.
constexpr uint8_t pci_line(PciAddress address, uint8_t pin) {
  return kPciLines[(address.slot + (pin - 1u) % 4) % kPciLines.size()];
}

}  // namespace acrn
