// Any bytes as guest RAM with a ring in it: descriptors, indirect tables, available ring. Whatever they say, the
// device touches RAM only, returns at most what was made available, and serves a good chain after a reset.
// COVERS(input): register accesses, rings and requests of any bytes
#include "acrn/virtio/ring_layout.h"
#include "tests/fuzz/fuzz_device.h"

using namespace acrn;
using namespace acrn::test;

namespace {

constexpr uint16_t kSize = 16;
constexpr Gpa kRing{FuzzDevice::kRamBase};

void serve_one_good_chain(FuzzDevice& device) {
  device.out(VIRTIO_PCI_STATUS, 1, 0);
  std::memset(device.ram(), 0, 16 * 1024);
  const uint64_t buffers = FuzzDevice::kRamBase + 12 * 1024;
  const VirtioBlkOuthdr header{VIRTIO_BLK_T_GET_ID, 0u, uint64_t{0}};
  std::memcpy(device.ram() + 12 * 1024, &header, sizeof(header));
  const VringDesc chain[] = {{buffers, 16u, VRING_DESC_F_NEXT, uint16_t{1}},
                             {buffers + 64, 21u, VRING_DESC_F_WRITE, uint16_t{0}}};
  std::memcpy(device.ram(), chain, sizeof(chain));
  const Le16 index = uint16_t{1};
  std::memcpy(device.ram() + ring_layout(kSize).avail + kRingIndex, &index, 2);
  device.bring_up(~0u, kRing);
  device.kick();
  device.settle();
  Le16 used;
  std::memcpy(&used, device.ram() + ring_layout(kSize).used + kRingIndex, 2);
  ACRN_CHECK(used == 1);
  ACRN_CHECK(device.ram()[12 * 1024 + 64 + 20] == std::byte{VIRTIO_BLK_S_OK});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const auto features = input.take<uint32_t>();
  FuzzDevice device({.name = "fuzz", .queue_size = kSize, .discard = true});
  const auto bytes = input.rest();
  std::memcpy(device.ram(), bytes.data(), std::min(bytes.size(), FuzzDevice::kRamSize));
  device.bring_up(features, kRing);
  device.kick();
  device.settle();
  Le16 available, used;
  std::memcpy(&available, device.ram() + ring_layout(kSize).avail + kRingIndex, 2);
  std::memcpy(&used, device.ram() + ring_layout(kSize).used + kRingIndex, 2);
  // A device that writes its answers over the ring may change avail.idx too; what it returned stays bounded.
  ACRN_CHECK(used <= 2 * kSize + available);
  serve_one_good_chain(device);
  return 0;
}
