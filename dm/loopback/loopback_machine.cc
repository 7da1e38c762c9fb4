#include "dm/loopback/loopback_machine.h"

#include "acrn/base/round.h"
#include "acrn/platform/port_map.h"
#include "dm/mem/guest_ram.h"

namespace acrn {
namespace {

uint32_t config_address(PciAddress function, unsigned offset) {
  return 0x8000'0000u | uint32_t{function.bus} << 16 | uint32_t{function.slot} << 11 |
         uint32_t{function.function} << 8 | (offset & 0xfc);
}

uint16_t data_port(unsigned offset) { return static_cast<uint16_t>(kPciConfigData.first + (offset & 3)); }

}  // namespace

void LoopbackPin::set_level(bool asserted) {
  const bool before = level_.exchange(asserted, std::memory_order_acq_rel);
  if (asserted && !before) interrupt_.deliver();
}

Result<std::unique_ptr<LoopbackMachine>> LoopbackMachine::create(uint64_t ram_bytes) {
  auto ram = create_guest_ram(Gpa{kRamBase}, ram_bytes);
  if (!ram) return ram.error();
  return std::make_unique<LoopbackMachine>(std::move(ram).value());
}

LoopbackMachine::LoopbackMachine(MemoryRegion ram)
    : map_(std::make_shared<const MemoryMap>(std::vector<MemoryRegion>{std::move(ram)})), memory_(map_) {}

void LoopbackMachine::send(uint64_t address, uint32_t data) {
  // Like a local APIC, which takes nothing from elsewhere.
  if (address == kMsiAddress) vectors_[data & 0xff].deliver();
}

uint32_t LoopbackMachine::in(uint16_t port, unsigned size) {
  return bus_.io_read(port, size).value_or(size == 4 ? ~0u : (1u << (8 * size)) - 1);
}

void LoopbackMachine::out(uint16_t port, unsigned size, uint32_t value) { bus_.io_write(port, size, value); }

uint64_t LoopbackMachine::read_mmio(uint64_t address, unsigned size) {
  return bus_.memory_read(address, size).value_or(~uint64_t{0});
}

void LoopbackMachine::write_mmio(uint64_t address, unsigned size, uint64_t value) {
  bus_.memory_write(address, size, value);
}

uint32_t LoopbackMachine::config_read(PciAddress function, unsigned offset, unsigned size) {
  out(kPciConfigAddress.first, 4, config_address(function, offset));
  return in(data_port(offset), size);
}

void LoopbackMachine::config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) {
  out(kPciConfigAddress.first, 4, config_address(function, offset));
  out(data_port(offset), size, value);
}

std::optional<Gpa> LoopbackMachine::allocate(uint64_t bytes, uint64_t alignment) {
  const uint64_t start = round_up(next_ram_, alignment);
  if (!map_->slice(Gpa{start}, bytes)) return std::nullopt;
  next_ram_ = start + bytes;
  return Gpa{start};
}

GuestSlice LoopbackMachine::ram(Gpa gpa, uint64_t bytes) const {
  const auto slice = map_->slice(gpa, bytes);
  ACRN_CHECK(slice.has_value());
  return *slice;
}

uint16_t LoopbackMachine::allocate_io(uint32_t size) {
  const uint64_t start = round_up(next_io_, size);
  ACRN_CHECK(start + size <= 0x10000);
  next_io_ = static_cast<uint32_t>(start + size);
  return static_cast<uint16_t>(start);
}

uint64_t LoopbackMachine::allocate_memory(uint32_t size) {
  const uint64_t start = round_up(next_memory_, size);
  next_memory_ = start + size;
  return start;
}

}  // namespace acrn
