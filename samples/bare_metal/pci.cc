#include "pci.h"

#include "cpu.h"

namespace {

// Configuration mechanism 1 (PCI 3.0 3.2.2.3.2): which register goes to one port, its value through the other.
constexpr uint16_t kAddress = 0xcf8, kValue = 0xcfc;

uint32_t address(const PciFunction& of, uint8_t offset) {
  return 1u << 31 | uint32_t{of.slot} << 11 | uint32_t{of.function} << 8 | offset;
}

}  // namespace

uint32_t PciFunction::read32(uint8_t offset) const {
  out32(kAddress, address(*this, offset));
  return in32(kValue);
}

void PciFunction::write32(uint8_t offset, uint32_t value) const {
  out32(kAddress, address(*this, offset));
  out32(kValue, value);
}

bool find_function(uint32_t id, PciFunction& found) {
  for (uint8_t slot = 0; slot < 32; ++slot) {
    for (uint8_t function = 0; function < 8; ++function) {
      found = {slot, function};
      if (found.read32(0) == id) return true;  // of a function that is not there all bits are ones
    }
  }
  return false;
}
