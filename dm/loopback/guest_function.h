// GuestFunction: a PCI function as a driver holds it, after what firmware does: BARs sized and placed, decoding
// on, interrupts routed. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dm/loopback/loopback_machine.h"

namespace acrn {

struct GuestBar {
  BarKind kind = BarKind::kAbsent;
  uint64_t address = 0;
  uint32_t size = 0;  // bytes
};

class GuestFunction {
 public:
  // Nothing answers at that address: no value.
  static std::optional<GuestFunction> probe(LoopbackMachine& machine, PciAddress address);

  LoopbackMachine& machine() const { return *machine_; }
  PciAddress address() const { return address_; }
  uint32_t config_read(unsigned offset, unsigned size) const { return machine_->config_read(address_, offset, size); }
  void config_write(unsigned offset, unsigned size, uint32_t value) const {
    machine_->config_write(address_, offset, size, value);
  }
  const GuestBar& bar(unsigned number) const { return bars_[number]; }
  // Offset of the capability in configuration space.
  std::optional<unsigned> capability(uint8_t id) const;

  // Registers in BAR0.
  uint32_t in(unsigned offset, unsigned size) const;
  void out(unsigned offset, unsigned size, uint32_t value) const;

  // Moves BAR0 elsewhere, as a guest may at any time.
  void move_register_bar();

  // MSI-X: gives each table entry a vector of the machine and turns it on; returns the vectors. Empty: no MSI-X.
  std::vector<uint8_t> enable_msix();
  void disable_msix();
  void mask_msix_entry(unsigned entry, bool masked);
  bool msix_pending(unsigned entry) const;
  // MSI: the one vector.
  std::optional<uint8_t> enable_msi();
  void disable_msi();
  LoopbackPin& pin() const { return machine_->pin(address_); }

 private:
  GuestFunction(LoopbackMachine& machine, PciAddress address) : machine_(&machine), address_(address) {}
  void place_bars();
  uint64_t msix_table(unsigned entry) const;

  LoopbackMachine* machine_;
  PciAddress address_;
  std::array<GuestBar, kPciBars> bars_;
};

}  // namespace acrn
