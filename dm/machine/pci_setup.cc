#include "dm/machine/pci_setup.h"

#include "acrn/base/round.h"
#include "acrn/pci/pci_spec.h"
#include "dm/boot/memory_layout.h"

namespace acrn {
namespace {

struct Window {
  uint64_t next, end;

  // Naturally aligned; 0 if there is no room.
  uint64_t take(uint32_t size) {
    const uint64_t at = round_up(next, size);
    if (at + size > end) return 0;
    next = at + size;
    return at;
  }
};

}  // namespace

Result<std::vector<uint32_t>> place_bars(std::span<const BarShape> bars) {
  Window io{kPciIoBase, kPciIoEnd}, memory{kPciMemoryBase, kPciMemoryEnd};
  std::vector<uint32_t> places;
  for (const BarShape& shape : bars) {
    const bool absent = shape.kind == BarKind::kAbsent;
    const uint64_t at = absent ? 0 : (shape.kind == BarKind::kIo ? io : memory).take(shape.size);
    if (at == 0 && !absent) return Error{ErrorKind::kUsage, "-s: too many functions for the PCI windows; give fewer"};
    places.push_back(static_cast<uint32_t>(at));
  }
  return places;
}

Result<void> set_up_pci(PciBus& bus, const PciLines& lines) {
  std::vector<BarShape> shapes;
  for (const PciAddress address : bus.addresses()) {
    for (unsigned bar = 0; bar < kPciBars; bar++) shapes.push_back(bus.function(address).bar_shape(bar));
  }
  const auto places = place_bars(shapes);
  if (!places) return places.error();
  auto place = places.value().begin();
  auto shape = shapes.begin();
  for (const PciAddress address : bus.addresses()) {
    uint32_t decode = 0;
    for (unsigned bar = 0; bar < kPciBars; bar++, ++place, ++shape) {
      if (shape->kind == BarKind::kAbsent) continue;
      bus.config_write(address, PCI_BASE_ADDRESS_0 + 4 * bar, 4, *place);
      decode |= shape->kind == BarKind::kIo ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    }
    if (const uint32_t pin = bus.config_read(address, PCI_INTERRUPT_PIN, 1); pin != 0) {
      bus.config_write(address, PCI_INTERRUPT_LINE, 1, pci_line(lines, address, static_cast<uint8_t>(pin)));
    }
    if (decode != 0) bus.config_write(address, PCI_COMMAND, 2, decode);
  }
  return {};
}

}  // namespace acrn
