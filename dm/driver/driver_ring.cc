#include "dm/driver/driver_ring.h"

#include <utility>

#include "acrn/base/fence.h"

namespace acrn {
namespace {

// The descriptors of a chain in order, all but their next index.
template <class Write>
void for_each_descriptor(std::span<const GuestBuffer> readable, std::span<const GuestBuffer> writable, Write&& write) {
  const size_t count = readable.size() + writable.size();
  for (size_t i = 0; i < count; i++) {
    const bool device_writes = i >= readable.size();
    const GuestBuffer& buffer = device_writes ? writable[i - readable.size()] : readable[i];
    const int flags = (device_writes ? VRING_DESC_F_WRITE : 0) | (i + 1 < count ? VRING_DESC_F_NEXT : 0);
    write({raw(buffer.address), buffer.length, static_cast<uint16_t>(flags), uint16_t{0}});
  }
}

}  // namespace

DriverRing::DriverRing(Gpa base, GuestSlice memory, uint16_t size, bool event_index)
    : base_(base),
      size_(size),
      event_index_(event_index),
      next_(size),
      chain_length_(size),
      token_(size),
      free_count_(size) {
  const RingLayout layout = ring_layout(size);
  desc_ = memory.part(0, layout.desc_bytes);
  avail_ = memory.part(layout.avail, layout.avail_bytes);
  used_ = memory.part(layout.used, layout.used_bytes);
  for (uint16_t i = 0; i < size; i++) next_[i] = static_cast<uint16_t>(i + 1);
}

void DriverRing::use_tables(Gpa base, GuestSlice memory, uint16_t entries) {
  tables_ = base;
  tables_memory_ = memory;
  indirect_entries_ = entries;
}

bool DriverRing::add(std::span<const GuestBuffer> readable, std::span<const GuestBuffer> writable, uint16_t token) {
  const size_t buffers = readable.size() + writable.size();
  const bool indirect = indirect_entries_ != 0 && buffers > 1 && buffers <= indirect_entries_;
  const size_t needed = indirect ? 1 : buffers;
  if (needed > free_count_) return false;
  const uint16_t head = first_free_;
  if (indirect) {
    const uint32_t table_bytes = static_cast<uint32_t>(sizeof(VringDesc)) * indirect_entries_;
    const uint64_t offset = uint64_t{head} * table_bytes;
    uint16_t entry = 0;
    for_each_descriptor(readable, writable, [&](VringDesc desc) {
      desc.next = static_cast<uint16_t>(entry + 1);
      tables_memory_.store(offset + sizeof(VringDesc) * entry++, desc);
    });
    write_desc(head, {raw(tables_) + offset, static_cast<uint32_t>(sizeof(VringDesc) * buffers), VRING_DESC_F_INDIRECT,
                      uint16_t{0}});
    first_free_ = next_[head];
  } else {
    for_each_descriptor(readable, writable, [&](VringDesc desc) {
      desc.next = next_[first_free_];
      write_desc(first_free_, desc);
      first_free_ = next_[first_free_];
    });
  }
  free_count_ = static_cast<uint16_t>(free_count_ - needed);
  chain_length_[head] = static_cast<uint16_t>(needed);
  token_[head] = token;
  write_avail_entry(next_avail_++ & (size_ - 1), head);
  return true;
}

bool DriverRing::expose() {
  if (exposed_ == next_avail_) return false;
  const uint16_t before = exposed_;
  exposed_ = next_avail_;
  write_avail_index(exposed_);  // release pairs with the device's acquire: entries and descriptors are written
  full_fence();                 // pairs with the device's, in enable_kicks()
  if (event_index_) return index_passes(wanted_kick(), exposed_, before);
  return (used_flags() & VRING_USED_F_NO_NOTIFY) == 0;
}

std::optional<DriverRing::Used> DriverRing::take_used() {
  const auto returned = static_cast<uint16_t>(used_index() - next_used_);  // acquire pairs with the device's release
  if (broken_ || returned == 0) return std::nullopt;
  const VringUsedElem element = used(next_used_ & (size_ - 1));
  const bool too_many = returned > static_cast<uint16_t>(exposed_ - next_used_);
  if (too_many || element.id >= size_ || chain_length_[element.id] == 0) {
    broken_ = true;
    return std::nullopt;
  }
  next_used_++;
  const auto head = static_cast<uint16_t>(element.id);
  uint16_t last = head;
  for (uint16_t i = 1; i < chain_length_[head]; i++) last = next_[last];
  free_count_ = static_cast<uint16_t>(free_count_ + std::exchange(chain_length_[head], uint16_t{0}));
  next_[last] = first_free_;
  first_free_ = head;
  return Used{token_[head], element.len};
}

bool DriverRing::enable_interrupts() {
  if (event_index_) {
    avail_.store16(used_event(size_), next_used_, __ATOMIC_RELAXED);
  } else {
    write_avail_flags(0);
  }
  full_fence();  // pairs with the device's, in publish()
  return used_index() != next_used_;
}

void DriverRing::disable_interrupts() {
  // With the event index an old used_event is enough.
  if (!event_index_) write_avail_flags(VRING_AVAIL_F_NO_INTERRUPT);
}

}  // namespace acrn
