#include "dm/loopback/guest_function.h"

#include "acrn/pci/capability.h"
#include "acrn/pci/pci_spec.h"

namespace acrn {
namespace {

constexpr uint16_t kDecodeAndMaster = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
constexpr uint8_t kFirstPicLine = 10;

}  // namespace

std::optional<GuestFunction> GuestFunction::probe(LoopbackMachine& machine, PciAddress address) {
  GuestFunction function(machine, address);
  if (function.config_read(PCI_VENDOR_ID, 2) == 0xffff) return std::nullopt;
  function.config_write(PCI_COMMAND, 2, 0);
  function.place_bars();
  function.config_write(PCI_INTERRUPT_LINE, 1, kFirstPicLine);
  function.config_write(PCI_COMMAND, 2, kDecodeAndMaster);
  return function;
}

// A BAR's size is what it reads back after all ones were written (PCI 3.0 6.2.5.1).
void GuestFunction::place_bars() {
  for (unsigned i = 0; i < kPciBars; i++) {
    const unsigned offset = PCI_BASE_ADDRESS_0 + 4 * i;
    const uint32_t before = config_read(offset, 4);
    config_write(offset, 4, ~0u);
    const uint32_t mask = config_read(offset, 4);
    if (mask == 0) continue;
    const bool io = (mask & 1) != 0;
    GuestBar& bar = bars_[i];
    bar.kind = io ? BarKind::kIo : BarKind::kMemory32;
    bar.size = ~(mask & (io ? ~3u : ~15u)) + 1;
    bar.address = before & ~(bar.size - 1);  // a second driver finds it where the first one put it
    if (bar.address == 0) bar.address = io ? machine_->allocate_io(bar.size) : machine_->allocate_memory(bar.size);
    config_write(offset, 4, static_cast<uint32_t>(bar.address));
  }
}

void GuestFunction::move_register_bar() {
  config_write(PCI_COMMAND, 2, 0);
  bars_[0].address = machine_->allocate_io(bars_[0].size);
  config_write(PCI_BASE_ADDRESS_0, 4, static_cast<uint32_t>(bars_[0].address));
  config_write(PCI_COMMAND, 2, kDecodeAndMaster);
}

std::optional<unsigned> GuestFunction::capability(uint8_t id) const { return find_capability(*this, id); }

uint32_t GuestFunction::in(unsigned offset, unsigned size) const {
  return machine_->in(static_cast<uint16_t>(bars_[0].address + offset), size);
}

void GuestFunction::out(unsigned offset, unsigned size, uint32_t value) const {
  machine_->out(static_cast<uint16_t>(bars_[0].address + offset), size, value);
}

uint64_t GuestFunction::msix_table(unsigned entry) const {
  const uint32_t table = config_read(*capability(PCI_CAP_ID_MSIX) + PCI_MSIX_TABLE, 4);
  return bars_[table & 7].address + (table & ~7u) + 16ull * entry;
}

std::vector<uint8_t> GuestFunction::enable_msix() {
  const auto offset = capability(PCI_CAP_ID_MSIX);
  std::vector<uint8_t> vectors;
  if (!offset) return vectors;
  const unsigned entries = (config_read(*offset + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  for (unsigned i = 0; i < entries; i++) {
    vectors.push_back(machine_->allocate_vector());
    machine_->write_mmio(msix_table(i) + 0, 4, LoopbackMachine::kMsiAddress);
    machine_->write_mmio(msix_table(i) + 4, 4, 0);
    machine_->write_mmio(msix_table(i) + 8, 4, vectors.back());
    machine_->write_mmio(msix_table(i) + 12, 4, 0);
  }
  config_write(*offset + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
  return vectors;
}

void GuestFunction::disable_msix() {
  if (const auto offset = capability(PCI_CAP_ID_MSIX)) config_write(*offset + 2, 2, 0);
}

void GuestFunction::mask_msix_entry(unsigned entry, bool masked) {
  machine_->write_mmio(msix_table(entry) + 12, 4, masked ? 1 : 0);
}

bool GuestFunction::msix_pending(unsigned entry) const {
  const uint32_t pending = config_read(*capability(PCI_CAP_ID_MSIX) + PCI_MSIX_PBA, 4);
  const uint64_t word = bars_[pending & 7].address + (pending & ~7u) + entry / 32 * 4;
  return (machine_->read_mmio(word, 4) >> (entry % 32) & 1) != 0;
}

std::optional<uint8_t> GuestFunction::enable_msi() {
  const auto offset = capability(PCI_CAP_ID_MSI);
  if (!offset) return std::nullopt;
  const uint8_t vector = machine_->allocate_vector();
  config_write(*offset + 4, 4, LoopbackMachine::kMsiAddress);
  config_write(*offset + 8, 4, 0);
  config_write(*offset + 12, 2, vector);
  config_write(*offset + 2, 2, config_read(*offset + 2, 2) | 1);
  return vector;
}

void GuestFunction::disable_msi() {
  if (const auto offset = capability(PCI_CAP_ID_MSI)) config_write(*offset + 2, 2, config_read(*offset + 2, 2) & ~1u);
}

}  // namespace acrn
