// The 256 bytes of a type-0 PCI configuration header: what a guest reads, which bits it may write, the BARs and
// the capability list (PCI 3.0 chapter 6). No lock of its own; the function that owns it has one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "acrn/pci/pci_function.h"

namespace acrn {

// Offsets and bits of the header that the program uses, named as in Linux' pci_regs.h.
inline constexpr unsigned PCI_COMMAND = 0x04;
inline constexpr uint16_t PCI_COMMAND_IO = 0x001;
inline constexpr uint16_t PCI_COMMAND_MEMORY = 0x002;
inline constexpr uint16_t PCI_COMMAND_MASTER = 0x004;
inline constexpr uint16_t PCI_COMMAND_INTX_DISABLE = 0x400;
inline constexpr unsigned PCI_STATUS = 0x06;
inline constexpr uint16_t PCI_STATUS_INTERRUPT = 0x008;
inline constexpr uint16_t PCI_STATUS_CAP_LIST = 0x010;
inline constexpr unsigned PCI_REVISION_ID = 0x08;
inline constexpr unsigned PCI_HEADER_TYPE = 0x0e;
inline constexpr unsigned PCI_BASE_ADDRESS_0 = 0x10;
inline constexpr unsigned PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
inline constexpr unsigned PCI_SUBSYSTEM_ID = 0x2e;
inline constexpr unsigned PCI_CAPABILITY_LIST = 0x34;
inline constexpr unsigned PCI_INTERRUPT_LINE = 0x3c;
inline constexpr unsigned PCI_INTERRUPT_PIN = 0x3d;
inline constexpr uint8_t PCI_CAP_ID_MSI = 0x05;
inline constexpr uint8_t PCI_CAP_ID_MSIX = 0x11;

struct PciIdentity {
  uint16_t vendor = 0, device = 0;
  uint32_t class_code = 0;  // base class, subclass, programming interface: 0xBBSSPP
  uint16_t subsystem_vendor = 0, subsystem = 0;
  uint8_t interrupt_pin = 0;  // 1 is INTA#, 0 none
};

class ConfigSpace {
 public:
  explicit ConfigSpace(const PciIdentity& identity);

  // Set up by the function that owns it, before the guest sees it.
  void add_bar(unsigned bar, BarShape shape);
  // Appends a capability of `length` bytes with its two-byte header; returns its offset.
  unsigned add_capability(uint8_t id, unsigned length);
  void set(unsigned offset, unsigned size, uint32_t value);
  void make_writable(unsigned offset, unsigned size, uint32_t bits);
  void seal() { power_on_ = bytes_; }  // what reset() returns to

  // The guest's accesses, as PciFunction::config_read/config_write.
  uint32_t read(unsigned offset, unsigned size) const;
  void write(unsigned offset, unsigned size, uint32_t value);
  void reset() { bytes_ = power_on_; }

  uint16_t command() const { return static_cast<uint16_t>(read(PCI_COMMAND, 2)); }
  BarShape bar_shape(unsigned bar) const { return bars_[bar]; }
  std::optional<uint64_t> bar_address(unsigned bar) const;

 private:
  std::array<uint8_t, kPciConfigSize> bytes_{};
  std::array<uint8_t, kPciConfigSize> writable_{};  // a set bit may be changed by the guest
  std::array<uint8_t, kPciConfigSize> power_on_{};
  std::array<BarShape, kPciBars> bars_{};
  unsigned next_capability_ = 0x40;
  unsigned last_link_ = PCI_CAPABILITY_LIST;
};

}  // namespace acrn
