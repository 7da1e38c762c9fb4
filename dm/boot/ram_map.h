// The map of RAM that a PC's firmware gives to a kernel: what is RAM, and what a kernel may not use.
#pragma once

#include <cstdint>
#include <vector>

#include "dm/boot/memory_layout.h"

namespace acrn {

struct RamRange {
  uint64_t address, size;  // bytes
  uint32_t type;           // as E820 has it: 1 RAM, 2 reserved
};

inline std::vector<RamRange> ram_map(const RamLayout& ram) {
  constexpr uint32_t kRam = 1, kReserved = 2;
  std::vector<RamRange> ranges{{0, kLegacyHole, kRam},
                               {kLegacyHole, kKernelBase - kLegacyHole, kReserved},
                               {kKernelBase, ram.low - kKernelBase, kRam}};
  if (ram.high != 0) ranges.push_back({kHighRamBase, ram.high, kRam});
  return ranges;
}

}  // namespace acrn
