// Well-formed chains around any header, any data and any cut into descriptors: exactly one used entry each, and a
// status byte that virtio-blk knows.
// COVERS(input): register accesses, rings and requests of any bytes
#include "acrn/virtio/ring_layout.h"
#include "tests/fuzz/fuzz_device.h"

using namespace acrn;
using namespace acrn::test;

namespace {

constexpr uint16_t kSize = 16;
constexpr Gpa kRing{FuzzDevice::kRamBase};
constexpr uint64_t kReadable = 16 * 1024, kWritable = 64 * 1024;  // offsets into RAM
constexpr RingLayout kLayout = ring_layout(kSize);

// Cuts `length` bytes at `offset` into up to `most` descriptors.
uint16_t cut(FuzzDevice& device, FuzzInput& input, uint16_t first, unsigned most, uint64_t offset, uint32_t length,
             int flags) {
  uint16_t index = first;
  while (length > 0) {
    const bool last = most-- <= 1;
    const uint32_t part = last ? length : std::min<uint32_t>(length, 1 + input.take<uint16_t>() % length);
    const VringDesc desc{FuzzDevice::kRamBase + offset, part, static_cast<uint16_t>(flags | VRING_DESC_F_NEXT),
                         static_cast<uint16_t>(index + 1)};
    std::memcpy(device.ram() + sizeof(VringDesc) * index++, &desc, sizeof(desc));
    offset += part;
    length -= part;
  }
  return index;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const auto options = input.take<uint8_t>();
  FuzzDevice device({.name = "fuzz",
                     .queue_size = kSize,
                     .read_only = (options & 1) != 0,
                     .writeback = (options & 2) != 0,
                     .discard = (options & 4) != 0,
                     .max_discard_sectors = 64,
                     .max_discard_segments = 4});
  device.bring_up((options & 8) != 0 ? ~0u : input.take<uint32_t>(), kRing);
  for (uint16_t round = 0; round < 32 && !input.empty(); round++) {
    VirtioBlkOuthdr header{input.take<uint8_t>(), 0u, uint64_t{0}};
    const auto shape = input.take<uint8_t>();
    header.sector = (shape & 1) != 0 ? input.take<uint64_t>() : input.take<uint8_t>();
    uint32_t readable = sizeof(header), writable = 1;
    ((shape & 2) != 0 ? readable : writable) +=
        (shape & 4) != 0 ? input.take<uint8_t>() * 512u % 32768 : input.take<uint16_t>() % 4096;
    std::memcpy(device.ram() + kReadable, &header, sizeof(header));
    for (uint32_t i = sizeof(header); i < std::min(readable, 128u); i++)
      device.ram()[kReadable + i] = std::byte{input.take<uint8_t>()};
    device.ram()[kWritable + writable - 1] = std::byte{0xff};

    uint16_t end = cut(device, input, 0, 4, kReadable, readable, 0);
    end = cut(device, input, end, 4, kWritable, writable, VRING_DESC_F_WRITE);
    Le16 flags = uint16_t{VRING_DESC_F_WRITE};  // the last one has no NEXT
    std::memcpy(device.ram() + sizeof(VringDesc) * (end - 1u) + 12, &flags, 2);
    const Le16 index = static_cast<uint16_t>(round + 1);
    std::memcpy(device.ram() + kLayout.avail + kRingIndex, &index, 2);  // entry 0 is head 0, as all are
    device.kick();
    Le16 used;
    std::memcpy(&used, device.ram() + kLayout.used + kRingIndex, 2);
    ACRN_CHECK(used == round + 1);
    ACRN_CHECK(device.ram()[kWritable + writable - 1] <= std::byte{VIRTIO_BLK_S_UNSUPP});
  }
  return 0;
}
