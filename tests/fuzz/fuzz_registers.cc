// Any sequence of accesses to configuration space and BARs, with kicks and resets among them, on a loop that sleeps or
// has work left.
// COVERS(input): register accesses, rings and requests of any bytes
#include "tests/fuzz/fuzz_device.h"

using namespace acrn;
using namespace acrn::test;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  FuzzDevice device({.name = "fuzz", .queues = 2, .queue_size = 8, .discard = true});
  VirtioPciLegacy& function = device.function();
  struct Access {
    uint8_t kind, size;  // of size: 2 bits which, 3 bits steps of the loop, 3 bits how long they take
    uint16_t offset;
    uint32_t value;
  };
  while (!input.empty()) {
    const auto access = input.take<Access>();
    const unsigned width = 1u << (access.size & 3);
    switch (access.kind & 7) {
      case 0: function.config_read(access.offset, width & 7); break;
      case 1: function.config_write(access.offset, width & 7, access.value); break;
      case 2: function.bar_read(access.kind >> 3 & 7, access.offset, width); break;
      case 3: function.bar_write(access.kind >> 3 & 7, access.offset, width, access.value); break;
      case 4: device.out(access.offset & 0x1f, width & 7, access.value); break;  // the registers proper
      case 5: device.out(VIRTIO_PCI_QUEUE_PFN, 4, 0x10 + (access.value & 0x1f)); break;
      case 6: device.kick(); break;
      default: function.bar_address(access.kind >> 3 & 7); break;
    }
    device.loop().advance((access.size >> 5) * uint64_t{50'000}, access.size >> 2 & 7u);
  }
  return 0;
}
