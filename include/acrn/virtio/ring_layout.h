// Where the three parts of a split ring lie: anywhere, or as in a legacy ring, one behind the other in its pages
// (virtio 0.9.5 2.3). Pure; shared by the device's Virtqueue and the loopback guest's driver, since both must agree
// with the specification and with each other.
#pragma once

#include <cstdint>

#include "acrn/mem/gpa.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {

struct RingLayout {
  uint32_t avail;  // offsets from the ring's first byte; descriptors are at 0
  uint32_t used;
  uint32_t desc_bytes;
  uint32_t avail_bytes;  // with used_event
  uint32_t used_bytes;   // with avail_event
  uint32_t total_bytes;
};

inline constexpr uint32_t kRingFlags = 0, kRingIndex = 2, kRingEntries = 4;  // inside avail and used

constexpr uint32_t avail_entry(uint16_t slot) { return kRingEntries + 2u * slot; }
constexpr uint32_t used_entry(uint16_t slot) { return kRingEntries + 8u * slot; }
constexpr uint32_t used_event(uint16_t size) { return kRingEntries + 2u * size; }   // last word of avail
constexpr uint32_t avail_event(uint16_t size) { return kRingEntries + 8u * size; }  // last word of used

// `size` entries, a power of two.
constexpr RingLayout ring_layout(uint16_t size) {
  RingLayout layout{};
  layout.desc_bytes = static_cast<uint32_t>(sizeof(VringDesc)) * size;
  layout.avail = layout.desc_bytes;
  layout.avail_bytes = used_event(size) + 2;
  const uint32_t end = layout.avail + layout.avail_bytes;
  layout.used = (end + VIRTIO_PCI_VRING_ALIGN - 1) / VIRTIO_PCI_VRING_ALIGN * VIRTIO_PCI_VRING_ALIGN;
  layout.used_bytes = avail_event(size) + 2;
  layout.total_bytes = layout.used + layout.used_bytes;
  return layout;
}

// Where the parts are in guest memory.
struct RingPlace {
  Gpa desc{}, avail{}, used{};
};

// Of a legacy ring.
constexpr RingPlace legacy_ring(Gpa base, uint16_t size) {
  const RingLayout layout = ring_layout(size);
  return {base, Gpa{raw(base) + layout.avail}, Gpa{raw(base) + layout.used}};
}

// Event index: does moving an index from `old_index` to `new_index` pass `event`? (virtio 0.9.5 2.4.2)
constexpr bool index_passes(uint16_t event, uint16_t new_index, uint16_t old_index) {
  return static_cast<uint16_t>(new_index - event - 1) < static_cast<uint16_t>(new_index - old_index);
}

}  // namespace acrn
