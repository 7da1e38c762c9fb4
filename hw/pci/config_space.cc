#include "hw/pci/config_space.h"

#include "acrn/base/check.h"

namespace acrn {
namespace {

constexpr uint32_t kIoBarFlag = 1;  // bit 0 of a BAR: I/O space (PCI 3.0 6.2.5.1)

bool inside(unsigned offset, unsigned size) {
  return (size == 1 || size == 2 || size == 4) && offset <= kPciConfigSize - size;
}

}  // namespace

ConfigSpace::ConfigSpace(const PciIdentity& identity) {
  set(0x00, 2, identity.vendor);
  set(0x02, 2, identity.device);
  set(PCI_REVISION_ID, 4, identity.class_code << 8);
  set(PCI_SUBSYSTEM_VENDOR_ID, 2, identity.subsystem_vendor);
  set(PCI_SUBSYSTEM_ID, 2, identity.subsystem);
  set(PCI_INTERRUPT_PIN, 1, identity.interrupt_pin);
  make_writable(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
  if (identity.interrupt_pin != 0) make_writable(PCI_INTERRUPT_LINE, 1, 0xff);
}

void ConfigSpace::add_bar(unsigned bar, BarShape shape) {
  ACRN_CHECK(bar < kPciBars && shape.size >= 16 && (shape.size & (shape.size - 1)) == 0);
  bars_[bar] = shape;
  const unsigned offset = PCI_BASE_ADDRESS_0 + 4 * bar;
  set(offset, 4, shape.kind == BarKind::kIo ? kIoBarFlag : 0);
  // Bits below the size stay as they are: that is how a guest reads the size (PCI 3.0 6.2.5.1).
  make_writable(offset, 4, ~(shape.size - 1));
}

unsigned ConfigSpace::add_capability(uint8_t id, unsigned length) {
  const unsigned offset = next_capability_;
  ACRN_CHECK(offset + length <= kPciConfigSize);
  set(offset, 1, id);
  set(last_link_, 1, offset);
  set(PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  last_link_ = offset + 1;
  next_capability_ = (offset + length + 3) & ~3u;
  return offset;
}

void ConfigSpace::set(unsigned offset, unsigned size, uint32_t value) {
  ACRN_CHECK(inside(offset, size));
  for (unsigned i = 0; i < size; i++) bytes_[offset + i] = static_cast<uint8_t>(value >> (8 * i));
}

void ConfigSpace::make_writable(unsigned offset, unsigned size, uint32_t bits) {
  ACRN_CHECK(inside(offset, size));
  for (unsigned i = 0; i < size; i++) writable_[offset + i] = static_cast<uint8_t>(bits >> (8 * i));
}

uint32_t ConfigSpace::read(unsigned offset, unsigned size) const {
  if (!inside(offset, size)) return ~0u;
  uint32_t value = 0;
  for (unsigned i = 0; i < size; i++) value |= uint32_t{bytes_[offset + i]} << (8 * i);
  return value;
}

void ConfigSpace::write(unsigned offset, unsigned size, uint32_t value) {
  if (!inside(offset, size)) return;
  for (unsigned i = 0; i < size; i++) {
    uint8_t& byte = bytes_[offset + i];
    const uint8_t mask = writable_[offset + i];
    byte = static_cast<uint8_t>((byte & ~mask) | (static_cast<uint8_t>(value >> (8 * i)) & mask));
  }
}

std::optional<uint64_t> ConfigSpace::bar_address(unsigned bar) const {
  if (bar >= kPciBars || bars_[bar].kind == BarKind::kAbsent) return std::nullopt;
  const uint16_t decoding = bars_[bar].kind == BarKind::kIo ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
  if ((command() & decoding) == 0) return std::nullopt;
  const uint32_t address = read(PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~(bars_[bar].size - 1);
  if (address == 0) return std::nullopt;  // not assigned yet
  return address;
}

}  // namespace acrn
