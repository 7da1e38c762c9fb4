#include "dm/machine/pci_bus.h"

#include "acrn/base/check.h"

namespace acrn {
namespace {

constexpr uint32_t kConfigEnable = 0x8000'0000;

uint32_t all_ones(unsigned size) { return size >= 4 ? ~0u : (1u << (8 * size)) - 1; }

}  // namespace

void PciBus::attach(PciAddress address, PciFunction& function) {
  for (const auto& attached : functions_) ACRN_CHECK(!(attached->address == address));
  auto attached = std::make_unique<Attached>();
  attached->address = address;
  attached->function = &function;
  for (unsigned bar = 0; bar < kPciBars; bar++) attached->shape[bar] = function.bar_shape(bar);
  refresh(*attached);
  functions_.push_back(std::move(attached));
}

void PciBus::refresh(Attached& attached) {
  for (unsigned bar = 0; bar < kPciBars; bar++) attached.base[bar] = attached.function->bar_address(bar).value_or(0);
}

// Mechanism 1: bits 31 enable, 23-16 bus, 15-11 device, 10-8 function, 7-2 register (PCI 3.0 3.2.2.3.2).
PciBus::Attached* PciBus::selected(unsigned& offset, uint16_t port) {
  const uint32_t address = config_address_;
  if ((address & kConfigEnable) == 0) return nullptr;
  const PciAddress wanted{static_cast<uint8_t>(address >> 16), static_cast<uint8_t>((address >> 11) & 0x1f),
                          static_cast<uint8_t>((address >> 8) & 7)};
  offset = (address & 0xfc) + (port - kDataPort);
  for (const auto& attached : functions_) {
    if (attached->address == wanted) return attached.get();
  }
  return nullptr;
}

std::optional<PciBus::Hit> PciBus::find(BarKind kind, uint64_t address) const {
  for (const auto& attached : functions_) {
    for (unsigned bar = 0; bar < kPciBars; bar++) {
      const uint64_t base = attached->base[bar].load(std::memory_order_relaxed);
      if (base == 0 || address < base) continue;
      const BarShape& shape = attached->shape[bar];
      if (shape.kind == kind && address - base < shape.size) return Hit{attached->function, bar, address - base};
    }
  }
  return std::nullopt;
}

std::optional<uint32_t> PciBus::io_read(uint16_t port, unsigned size) {
  if (port == kAddressPort && size == 4) return config_address_.load();
  if (port >= kDataPort && port < kDataPort + 4) {
    unsigned offset = 0;
    Attached* attached = selected(offset, port);
    // No function there: all ones, which is how a guest learns it (PCI 3.0 3.2.2.3.4).
    if (attached == nullptr || (offset & 3) + size > 4) return all_ones(size);
    return attached->function->config_read(offset, size) & all_ones(size);
  }
  if (const auto hit = find(BarKind::kIo, port)) {
    return static_cast<uint32_t>(hit->function->bar_read(hit->bar, hit->offset, size)) & all_ones(size);
  }
  return std::nullopt;
}

bool PciBus::io_write(uint16_t port, unsigned size, uint32_t value) {
  if (port == kAddressPort && size == 4) {
    config_address_ = value;
    return true;
  }
  if (port >= kDataPort && port < kDataPort + 4) {
    unsigned offset = 0;
    Attached* attached = selected(offset, port);
    if (attached == nullptr || (offset & 3) + size > 4) return true;
    attached->function->config_write(offset, size, value);
    refresh(*attached);
    return true;
  }
  const auto hit = find(BarKind::kIo, port);
  if (hit) hit->function->bar_write(hit->bar, hit->offset, size, value);
  return hit.has_value();
}

std::optional<uint64_t> PciBus::memory_read(uint64_t address, unsigned size) {
  const auto hit = find(BarKind::kMemory32, address);
  if (!hit) return std::nullopt;
  return hit->function->bar_read(hit->bar, hit->offset, size);
}

bool PciBus::memory_write(uint64_t address, unsigned size, uint64_t value) {
  const auto hit = find(BarKind::kMemory32, address);
  if (hit) hit->function->bar_write(hit->bar, hit->offset, size, value);
  return hit.has_value();
}

void PciBus::reset() {
  for (const auto& attached : functions_) {
    attached->function->reset();
    refresh(*attached);
  }
}

}  // namespace acrn
