#include "dm/loopback/driver_ring.h"

#include "acrn/base/concat.h"
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

Result<DriverRing> DriverRing::create(LoopbackMachine& machine, uint16_t size, uint16_t indirect_entries,
                                      bool event_index) {
  const auto base = machine.allocate(ring_layout(size).total_bytes, VIRTIO_PCI_VRING_ALIGN);
  const uint64_t table_bytes = uint64_t{size} * indirect_entries * sizeof(VringDesc);
  const auto tables = table_bytes != 0 ? machine.allocate(table_bytes, 16) : Gpa{};
  if (!base || !tables) return Error{ErrorKind::kInternal, concat("a ring of ", size, " does not fit into guest RAM")};
  DriverRing ring(machine, *base, size, event_index);
  if (table_bytes != 0) {
    ring.indirect_entries_ = indirect_entries;
    ring.tables_ = *tables;
    ring.tables_memory_ = machine.ram(*tables, table_bytes);
  }
  return ring;
}

DriverRing::DriverRing(LoopbackMachine& machine, Gpa base, uint16_t size, bool event_index)
    : base_(base),
      size_(size),
      event_index_(event_index),
      next_(size),
      chain_length_(size),
      token_(size),
      free_count_(size) {
  const RingLayout layout = ring_layout(size);
  desc_ = machine.ram(base, layout.desc_bytes);
  avail_ = machine.ram(Gpa{raw(base) + layout.avail}, layout.avail_bytes);
  used_ = machine.ram(Gpa{raw(base) + layout.used}, layout.used_bytes);
  for (uint16_t i = 0; i < size; i++) next_[i] = static_cast<uint16_t>(i + 1);
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
  if (broken_ || used_index() == next_used_) return std::nullopt;  // acquire pairs with the device's release
  const VringUsedElem element = used(next_used_ & (size_ - 1));
  if (element.id >= size_ || chain_length_[element.id] == 0) {
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
