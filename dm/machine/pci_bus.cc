#include "dm/machine/pci_bus.h"

#include "acrn/base/check.h"
#include "acrn/pci/pci_spec.h"
#include "acrn/platform/port_map.h"

namespace acrn {
namespace {

constexpr uint32_t kConfigEnable = 0x8000'0000;

uint32_t all_ones(unsigned size) { return size >= 4 ? ~0u : (1u << (8 * size)) - 1; }

}  // namespace

void PciBus::attach(PciAddress address, PciFunction& function) {
  ACRN_CHECK(find(address) == nullptr);
  auto attached = std::make_unique<Attached>();
  attached->address = address;
  attached->function = &function;
  for (unsigned bar = 0; bar < kPciBars; bar++) attached->shape[bar] = function.bar_shape(bar);
  attached->doorbells = function.doorbells();
  refresh(*attached);
  functions_.push_back(std::move(attached));
}

PciBus::Attached* PciBus::find(PciAddress address) const {
  for (const auto& attached : functions_) {
    if (attached->address == address) return attached.get();
  }
  return nullptr;
}

void PciBus::refresh(Attached& attached) {
  MutexLock lock(refresh_mutex_);
  bool moved = false;
  for (unsigned bar = 0; bar < kPciBars; bar++) {
    const uint64_t base = attached.function->bar_address(bar).value_or(0);
    moved |= attached.base[bar].exchange(base) != base;
  }
  if (moved) place_doorbells(attached);
}

void PciBus::place_doorbells(Attached& attached) {
  if (doorbell_sink_ == nullptr) return;
  for (const Doorbell& doorbell : attached.placed) doorbell_sink_->remove_doorbell(doorbell);
  attached.placed.clear();
  for (const BarDoorbell& wanted : attached.doorbells) {
    if (wanted.event_fd < 0) continue;
    const uint64_t port = attached.base[wanted.bar] + wanted.offset;
    if (attached.base[wanted.bar] == 0 || attached.shape[wanted.bar].kind != BarKind::kIo || port > UINT16_MAX)
      continue;
    const Doorbell doorbell{static_cast<uint16_t>(port), wanted.size, wanted.data, wanted.event_fd};
    doorbell_sink_->add_doorbell(doorbell);
    attached.placed.push_back(doorbell);
  }
}

// Mechanism 1: bits 31 enable, 23-16 bus, 15-11 device, 10-8 function, 7-2 register (PCI 3.0 3.2.2.3.2).
std::optional<PciBus::Selected> PciBus::selected(uint16_t port) const {
  const uint32_t address = config_address_;
  if ((address & kConfigEnable) == 0) return std::nullopt;
  return Selected{{static_cast<uint8_t>(address >> 16), static_cast<uint8_t>((address >> 11) & 0x1f),
                   static_cast<uint8_t>((address >> 8) & 7)},
                  (address & 0xfc) + (port - kPciConfigData.first)};
}

uint32_t PciBus::config_read(PciAddress address, unsigned offset, unsigned size) {
  Attached* const attached = find(address);
  // No function there: all ones, which is how a guest learns it (PCI 3.0 3.2.2.3.4).
  if (attached == nullptr || (offset & 3) + size > 4) return all_ones(size);
  uint32_t value = attached->function->config_read(offset, size);
  // A slot with more functions says so in the header type of its first one, or guests do not look (PCI 3.0 6.2.1).
  if (address.function == 0 && offset <= PCI_HEADER_TYPE && PCI_HEADER_TYPE < offset + size &&
      has_more_functions(address)) {
    value |= uint32_t{PCI_HEADER_TYPE_MULTI_FUNCTION} << (8 * (PCI_HEADER_TYPE - offset));
  }
  return value & all_ones(size);
}

void PciBus::config_write(PciAddress address, unsigned offset, unsigned size, uint32_t value) {
  Attached* const attached = find(address);
  if (attached == nullptr || (offset & 3) + size > 4) return;
  attached->function->config_write(offset, size, value);
  refresh(*attached);
}

bool PciBus::has_more_functions(PciAddress first) const {
  for (const auto& attached : functions_) {
    const PciAddress& other = attached->address;
    if (other.bus == first.bus && other.slot == first.slot && other.function != 0) return true;
  }
  return false;
}

std::vector<PciAddress> PciBus::addresses() const {
  std::vector<PciAddress> addresses;
  for (const auto& attached : functions_) addresses.push_back(attached->address);
  return addresses;
}

PciFunction& PciBus::function(PciAddress address) {
  Attached* const attached = find(address);
  ACRN_CHECK(attached != nullptr);
  return *attached->function;
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
  if (port == kPciConfigAddress.first && size == 4) return config_address_.load();
  if (port >= kPciConfigData.first && port < kPciConfigData.first + 4) {
    const auto at = selected(port);
    return at ? config_read(at->address, at->offset, size) : all_ones(size);
  }
  if (const auto hit = find(BarKind::kIo, port)) {
    return static_cast<uint32_t>(hit->function->bar_read(hit->bar, hit->offset, size)) & all_ones(size);
  }
  return std::nullopt;
}

bool PciBus::io_write(uint16_t port, unsigned size, uint32_t value) {
  if (port == kPciConfigAddress.first && size == 4) {
    config_address_ = value;
    return true;
  }
  if (port >= kPciConfigData.first && port < kPciConfigData.first + 4) {
    if (const auto at = selected(port)) config_write(at->address, at->offset, size, value);
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
