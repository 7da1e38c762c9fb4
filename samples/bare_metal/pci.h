// PCI functions, by their configuration space (PCI 3.0 6.1).
#pragma once

#include <stdint.h>

struct PciFunction {
  uint8_t slot, function;  // of bus 0

  uint32_t read32(uint8_t offset) const;
  void write32(uint8_t offset, uint32_t value) const;
};

// The first function with that vendor in the lower half and that device in the upper one. False: there is none.
bool find_function(uint32_t id, PciFunction& found);
