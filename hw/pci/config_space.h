// The 256 bytes of a type-0 PCI configuration header: what a guest reads, which bits it may write, the BARs and
// the capability list (PCI 3.0 chapter 6). No lock of its own; the function that owns it has one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "acrn/pci/pci_function.h"
#include "acrn/pci/pci_spec.h"

namespace acrn {

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
