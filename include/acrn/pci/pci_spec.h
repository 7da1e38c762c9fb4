// Offsets and bits of a type-0 configuration header and of the MSI and MSI-X capabilities, as far as the program uses
// them. The names are those of Linux' pci_regs.h; the rules are in PCI 3.0 chapter 6.
#pragma once

#include <cstdint>

namespace acrn {

// Bytes from the start of the configuration space.
inline constexpr unsigned PCI_VENDOR_ID = 0x00;
inline constexpr unsigned PCI_DEVICE_ID = 0x02;
inline constexpr unsigned PCI_COMMAND = 0x04;
inline constexpr unsigned PCI_STATUS = 0x06;
inline constexpr unsigned PCI_REVISION_ID = 0x08;  // with the class code in the three bytes after it
inline constexpr unsigned PCI_CACHE_LINE_SIZE = 0x0c;
inline constexpr unsigned PCI_HEADER_TYPE = 0x0e;
inline constexpr unsigned PCI_BASE_ADDRESS_0 = 0x10;
inline constexpr unsigned PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
inline constexpr unsigned PCI_SUBSYSTEM_ID = 0x2e;
inline constexpr unsigned PCI_ROM_ADDRESS = 0x30;
inline constexpr unsigned PCI_CAPABILITY_LIST = 0x34;
inline constexpr unsigned PCI_INTERRUPT_LINE = 0x3c;
inline constexpr unsigned PCI_INTERRUPT_PIN = 0x3d;

inline constexpr uint16_t PCI_COMMAND_IO = 0x001;
inline constexpr uint16_t PCI_COMMAND_MEMORY = 0x002;
inline constexpr uint16_t PCI_COMMAND_MASTER = 0x004;
inline constexpr uint16_t PCI_COMMAND_INTX_DISABLE = 0x400;
inline constexpr uint16_t PCI_STATUS_INTERRUPT = 0x008;
inline constexpr uint16_t PCI_STATUS_CAP_LIST = 0x010;
inline constexpr uint8_t PCI_HEADER_TYPE_MULTI_FUNCTION = 0x80;

inline constexpr uint8_t PCI_CAP_ID_MSI = 0x05;
inline constexpr uint8_t PCI_CAP_ID_MSIX = 0x11;
// Bytes from the start of the MSI-X capability, and bits of its flags.
inline constexpr unsigned PCI_MSIX_FLAGS = 2, PCI_MSIX_TABLE = 4, PCI_MSIX_PBA = 8;
inline constexpr uint16_t PCI_MSIX_FLAGS_QSIZE = 0x7ff;  // entries of the table, less one
inline constexpr uint16_t PCI_MSIX_FLAGS_ENABLE = 0x8000;

}  // namespace acrn
