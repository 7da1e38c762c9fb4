#include "dm/loopback/guest_function.h"

namespace acrn {
namespace {

constexpr unsigned kVendor = 0x00, kCommand = 0x04, kStatus = 0x06, kBar0 = 0x10, kCapabilities = 0x34,
                   kInterruptLine = 0x3c;
constexpr uint32_t kCommandDecodeAndMaster = 0x7;
constexpr uint32_t kStatusCapabilityList = 0x10;
constexpr uint8_t kMsi = 0x05, kMsix = 0x11;
constexpr uint32_t kMsixEnable = 0x8000;
constexpr uint8_t kFirstPicLine = 10;

}  // namespace

std::optional<GuestFunction> GuestFunction::probe(LoopbackMachine& machine, PciAddress address) {
  GuestFunction function(machine, address);
  if (function.config_read(kVendor, 2) == 0xffff) return std::nullopt;
  function.config_write(kCommand, 2, 0);
  function.place_bars();
  function.config_write(kInterruptLine, 1, kFirstPicLine);
  function.config_write(kCommand, 2, kCommandDecodeAndMaster);
  return function;
}

// A BAR's size is what it reads back after all ones were written (PCI 3.0 6.2.5.1).
void GuestFunction::place_bars() {
  for (unsigned i = 0; i < kPciBars; i++) {
    const unsigned offset = kBar0 + 4 * i;
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
  config_write(kCommand, 2, 0);
  bars_[0].address = machine_->allocate_io(bars_[0].size);
  config_write(kBar0, 4, static_cast<uint32_t>(bars_[0].address));
  config_write(kCommand, 2, kCommandDecodeAndMaster);
}

std::optional<unsigned> GuestFunction::capability(uint8_t id) const {
  if ((config_read(kStatus, 2) & kStatusCapabilityList) == 0) return std::nullopt;
  unsigned offset = config_read(kCapabilities, 1);
  for (unsigned steps = 0; offset != 0 && steps < kPciConfigSize; steps++) {
    if (config_read(offset, 1) == id) return offset;
    offset = config_read(offset + 1, 1);
  }
  return std::nullopt;
}

uint32_t GuestFunction::in(unsigned offset, unsigned size) const {
  return machine_->in(static_cast<uint16_t>(bars_[0].address + offset), size);
}

void GuestFunction::out(unsigned offset, unsigned size, uint32_t value) const {
  machine_->out(static_cast<uint16_t>(bars_[0].address + offset), size, value);
}

uint64_t GuestFunction::msix_table(unsigned entry) const {
  const uint32_t table = config_read(*capability(kMsix) + 4, 4);
  return bars_[table & 7].address + (table & ~7u) + 16ull * entry;
}

std::vector<uint8_t> GuestFunction::enable_msix() {
  const auto offset = capability(kMsix);
  std::vector<uint8_t> vectors;
  if (!offset) return vectors;
  const unsigned entries = (config_read(*offset + 2, 2) & 0x7ff) + 1;
  for (unsigned i = 0; i < entries; i++) {
    vectors.push_back(machine_->allocate_vector());
    machine_->write_mmio(msix_table(i) + 0, 4, LoopbackMachine::kMsiAddress);
    machine_->write_mmio(msix_table(i) + 4, 4, 0);
    machine_->write_mmio(msix_table(i) + 8, 4, vectors.back());
    machine_->write_mmio(msix_table(i) + 12, 4, 0);
  }
  config_write(*offset + 2, 2, kMsixEnable);
  return vectors;
}

void GuestFunction::disable_msix() {
  if (const auto offset = capability(kMsix)) config_write(*offset + 2, 2, 0);
}

void GuestFunction::mask_msix_entry(unsigned entry, bool masked) {
  machine_->write_mmio(msix_table(entry) + 12, 4, masked ? 1 : 0);
}

bool GuestFunction::msix_pending(unsigned entry) const {
  const uint32_t pending = config_read(*capability(kMsix) + 8, 4);
  const uint64_t word = bars_[pending & 7].address + (pending & ~7u) + entry / 32 * 4;
  return (machine_->read_mmio(word, 4) >> (entry % 32) & 1) != 0;
}

std::optional<uint8_t> GuestFunction::enable_msi() {
  const auto offset = capability(kMsi);
  if (!offset) return std::nullopt;
  const uint8_t vector = machine_->allocate_vector();
  config_write(*offset + 4, 4, LoopbackMachine::kMsiAddress);
  config_write(*offset + 8, 4, 0);
  config_write(*offset + 12, 2, vector);
  config_write(*offset + 2, 2, config_read(*offset + 2, 2) | 1);
  return vector;
}

void GuestFunction::disable_msi() {
  if (const auto offset = capability(kMsi)) config_write(*offset + 2, 2, config_read(*offset + 2, 2) & ~1u);
}

}  // namespace acrn
