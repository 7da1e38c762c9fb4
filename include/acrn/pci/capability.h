// The capability list of a PCI function, by its configuration space alone (PCI 3.0 6.7).
#pragma once

#include <cstdint>
#include <optional>

#include "acrn/pci/pci_function.h"
#include "acrn/pci/pci_spec.h"

namespace acrn {

// Offset of the first capability with that ID; nothing if there is none. `function` has config_read(offset, size). A
// list that goes in a circle ends.
template <class Function>
std::optional<unsigned> find_capability(Function& function, uint8_t id) {
  if ((function.config_read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) == 0) return std::nullopt;
  unsigned offset = function.config_read(PCI_CAPABILITY_LIST, 1);
  for (unsigned steps = 0; offset != 0 && steps < kPciConfigSize; steps++) {
    if (function.config_read(offset, 1) == id) return offset;
    offset = function.config_read(offset + 1, 1);
  }
  return std::nullopt;
}

}  // namespace acrn
