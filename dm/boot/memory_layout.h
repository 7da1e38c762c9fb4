// Where things are in the guest's address space: RAM, windows, and what a kernel finds there at its start.
#pragma once

#include <cstdint>

namespace acrn {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kLowRamLimit = 0x8000'0000;    // low RAM ends here at most
inline constexpr uint64_t kHighRamBase = 0x1'0000'0000;  // the rest of RAM
inline constexpr uint64_t kPciMemoryBase = 0x8000'0000;  // 32-bit PCI memory window
inline constexpr uint64_t kPciMemoryEnd = 0xe000'0000;
inline constexpr uint32_t kPciIoBase = 0x2000;  // I/O BARs
inline constexpr uint32_t kPciIoEnd = 0x1'0000;
inline constexpr uint32_t kIoApicAddress = 0xfec0'0000;
inline constexpr uint32_t kLocalApicAddress = 0xfee0'0000;

// Below 1 MiB, for the kernel to read once.
inline constexpr uint64_t kBootDescriptors = 0x500;  // GDT
inline constexpr uint64_t kZeroPage = 0x7000;
inline constexpr uint64_t kBootStack = 0x8ff0;       // grows down; a kernel soon makes its own
inline constexpr uint64_t kBootPageTables = 0x9000;  // six pages
inline constexpr uint64_t kCommandLine = 0x2'0000;   // NUL-terminated
inline constexpr uint64_t kLegacyHole = 0xa'0000;    // no RAM for the guest from here to 1 MiB
inline constexpr uint64_t kAcpiTables = 0xf'2400;    // RSDP first; the rest follows up to 1 MiB
inline constexpr uint64_t kKernelBase = 0x10'0000;

struct RamLayout {
  uint64_t low = 0;   // bytes from 0
  uint64_t high = 0;  // bytes from 4 GiB
};

constexpr RamLayout ram_layout(uint64_t bytes) {
  return bytes <= kLowRamLimit ? RamLayout{bytes, 0} : RamLayout{kLowRamLimit, bytes - kLowRamLimit};
}

}  // namespace acrn
