#include "dm/machine/pci_setup.h"

#include "dm/machine/memory_layout.h"

namespace acrn {
namespace {

constexpr unsigned kCommand = 0x04, kFirstBar = 0x10, kInterruptLine = 0x3c, kInterruptPin = 0x3d;
constexpr uint32_t kDecodeIo = 1, kDecodeMemory = 2;

struct Window {
  uint64_t next, end;

  // Naturally aligned; 0 if there is no room.
  uint64_t take(uint32_t size) {
    const uint64_t at = (next + size - 1) & ~uint64_t{size - 1};
    if (at + size > end) return 0;
    next = at + size;
    return at;
  }
};

}  // namespace

Result<void> set_up_pci(PciBus& bus, const PciLines& lines) {
  Window io{kPciIoBase, kPciIoEnd}, memory{kPciMemoryBase, kPciMemoryEnd};
  for (const PciAddress address : bus.addresses()) {
    uint32_t decode = 0;
    for (unsigned bar = 0; bar < kPciBars; bar++) {
      const BarShape shape = bus.function(address).bar_shape(bar);
      if (shape.kind == BarKind::kAbsent) continue;
      const bool is_io = shape.kind == BarKind::kIo;
      const uint64_t at = (is_io ? io : memory).take(shape.size);
      if (at == 0) return Error{ErrorKind::kUsage, "-s: too many functions for the PCI windows; give fewer"};
      bus.config_write(address, kFirstBar + 4 * bar, 4, static_cast<uint32_t>(at));
      decode |= is_io ? kDecodeIo : kDecodeMemory;
    }
    if (const uint32_t pin = bus.config_read(address, kInterruptPin, 1); pin != 0) {
      bus.config_write(address, kInterruptLine, 1, pci_line(lines, address, static_cast<uint8_t>(pin)));
    }
    if (decode != 0) bus.config_write(address, kCommand, 2, decode);
  }
  return {};
}

}  // namespace acrn
