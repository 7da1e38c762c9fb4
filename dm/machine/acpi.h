// The ACPI tables of the board, as a PC's firmware leaves them in RAM (ACPI 6.3). The devices are in dsdt.asl,
// compiled when the program is built; what depends on the command line is made or patched here. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dm/machine/irq_routing.h"

namespace acrn {

// Ports and values that the tables name and the board's devices answer.
struct AcpiBoard {
  unsigned vcpus = 1;
  uint8_t serial_ports = 0;  // bit n: there is a COM(n+1)
  PciLines pci_lines{5, 10, 11};
};

inline constexpr uint8_t kSciIrq = 9;
inline constexpr uint8_t kResetValue = 0x06;

// All tables, to be put at guest-physical `base`, a multiple of 64; the RSDP is at the start.
std::vector<std::byte> acpi_tables(const AcpiBoard& board, uint64_t base);

}  // namespace acrn
