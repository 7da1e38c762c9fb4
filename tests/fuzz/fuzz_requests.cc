// Well-formed chains around any header, any data and any cut into descriptors, on a disk that is done at once or later,
// on a loop that sleeps or has work left, from a driver that kicks when the ring asks for it: exactly one used entry
// each, and a status byte that virtio-blk knows and that is not written before.
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

uint16_t read16(FuzzDevice& device, size_t at) {
  Le16 value;
  std::memcpy(&value, device.ram() + at, sizeof(value));
  return value;
}

// Whether the device wants to hear of the chain that is number `index` in the available ring.
bool wants_kick(FuzzDevice& device, uint16_t index) {
  const uint64_t accepted = device.function().bar_read(0, VIRTIO_PCI_GUEST_FEATURES, 4);
  if ((accepted & feature(VIRTIO_RING_F_EVENT_IDX)) == 0)
    return (read16(device, kLayout.used) & VRING_USED_F_NO_NOTIFY) == 0;
  return read16(device, kLayout.used + avail_event(kSize)) == index;
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
                     .max_discard_segments = 4,
                     .kick = static_cast<KickMode>((options >> 4 & 3) % 3),
                     .poll_nanoseconds = (options & 0x40) != 0 ? 100'000u : 0u});
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
    const bool later = (options & 0x80) != 0;
    if (later) device.faults().hold();
    device.loop().pump(shape >> 4 & 3);
    if (wants_kick(device, round)) device.kick();
    device.loop().pump(shape >> 6);
    const auto used = [&] { return read16(device, kLayout.used + kRingIndex); };
    const std::byte& status = device.ram()[kWritable + writable - 1];
    ACRN_CHECK(used() == round + 1 || (used() == round && status == std::byte{0xff}));
    if (later) device.faults().release();
    device.settle();
    ACRN_CHECK(used() == round + 1 && status <= std::byte{VIRTIO_BLK_S_UNSUPP});
  }
  return 0;
}
