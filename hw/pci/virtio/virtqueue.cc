#include "hw/pci/virtio/virtqueue.h"

#include "acrn/base/fence.h"

namespace acrn {
namespace {

constexpr uint64_t kMaxChainBytes = uint64_t{1} << 32;

}  // namespace

void DescChain::complete(uint32_t written) {
  ACRN_CHECK(queue_ != nullptr);
  std::exchange(queue_, nullptr)->push_used(head_, written);
}

bool Virtqueue::place(std::shared_ptr<const MemoryMap> map) {
  const RingLayout layout = ring_layout(size_);
  const auto slice = map->slice(ring_, layout.total_bytes);
  if (!slice) return false;
  auto* base = static_cast<std::byte*>(slice->io_vector().iov_base);
  desc_ = GuestSlice(base, layout.desc_bytes);
  avail_ = GuestSlice(base + layout.avail, layout.avail_bytes);
  used_ = GuestSlice(base + layout.used, layout.used_bytes);
  map_ = std::move(map);
  return true;
}

bool Virtqueue::start(std::shared_ptr<const MemoryMap> map, Gpa ring) {
  ring_ = ring;
  if (!place(std::move(map))) return false;
  broken_ = kicks_suppressed_ = false;
  avail_index_ = next_avail_ = next_used_ = published_ = signalled_ = 0;
  return true;
}

void Virtqueue::break_queue(GuestRule rule, uint64_t detail) {
  broken_ = true;
  mistakes_.note(rule, detail);
}

void Virtqueue::suppress_kicks() {
  // With the event index, not moving avail_event suppresses by itself.
  if (event_index_ || kicks_suppressed_ || !running()) return;
  used_.store16(kRingFlags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
  kicks_suppressed_ = true;
}

void Virtqueue::suppress_kicks_for_good() {
  if (!running() || broken_) return;
  if (!event_index_) return suppress_kicks();
  if (std::exchange(kicks_suppressed_, false)) used_.store16(kRingFlags, 0, __ATOMIC_RELAXED);
  // Half the range away from where the driver is, so nothing that it adds passes it (virtio 0.9.5 2.4.1).
  used_.store16(avail_event(size_), static_cast<uint16_t>(next_avail_ ^ 0x8000), __ATOMIC_RELAXED);
}

bool Virtqueue::resume_kicks() {
  if (!running() || broken_) return false;
  if (kicks_suppressed_) {
    used_.store16(kRingFlags, 0, __ATOMIC_RELAXED);
    kicks_suppressed_ = false;
  }
  if (event_index_) used_.store16(avail_event(size_), next_avail_, __ATOMIC_RELAXED);
  full_fence();  // pairs with the driver's, between its avail.idx and its look at our flags or avail_event
  return avail_.load16(kRingIndex, __ATOMIC_RELAXED) != next_avail_;
}

void Virtqueue::expect_kicks() {
  if (kicks_suppressed_) used_.store16(kRingFlags, 0, __ATOMIC_RELAXED);
  kicks_suppressed_ = false;
  if (event_index_) used_.store16(avail_event(size_), avail_.load16(kRingIndex, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

std::optional<DescChain> Virtqueue::pop() {
  if (!running() || broken_) return std::nullopt;
  if (next_avail_ == avail_index_) {
    // Acquire pairs with the driver's release of avail.idx: the entries and descriptors below it are written.
    avail_index_ = avail_.load16(kRingIndex, __ATOMIC_ACQUIRE);
    const auto waiting = static_cast<uint16_t>(avail_index_ - next_avail_);
    if (waiting == 0) return std::nullopt;
    if (waiting > size_) {
      break_queue(GuestRule::kAvailIndexJump, avail_index_);
      return std::nullopt;
    }
  }
  const uint16_t head = avail_.load16(avail_entry(next_avail_ & (size_ - 1)), __ATOMIC_RELAXED);
  if (head >= size_) {
    break_queue(GuestRule::kHeadOutOfRange, head);
    return std::nullopt;
  }
  next_avail_++;
  return DescChain(*this, head);
}

std::optional<GuestRule> Virtqueue::read_chain(uint16_t head, ChainBuffers& buffers) {
  buffers.readable = buffers.writable = 0;
  buffers.readable_bytes = buffers.writable_bytes = 0;
  Table table{desc_, size_};
  bool nested = false;
  std::optional<GuestRule> misordered;
  uint16_t index = head;
  for (unsigned walked = 0; walked < size_;) {
    const auto desc = table.slice.load<VringDesc>(sizeof(VringDesc) * index);  // the one copy that decides
    if ((desc.flags & VRING_DESC_F_INDIRECT) != 0) {
      if (const auto rule = enter_indirect(desc, nested, table)) return rule;
      nested = true;
      index = 0;
      continue;  // comes once at most, since a second one is nested
    }
    walked++;
    if (const auto rule = add_buffer(desc, buffers)) {
      if (*rule != GuestRule::kReadableAfterWritable) return rule;
      misordered = rule;
    }
    if ((desc.flags & VRING_DESC_F_NEXT) == 0) return misordered;
    index = desc.next;
    if (index >= table.entries) return GuestRule::kNextOutOfRange;
  }
  return GuestRule::kChainTooLong;
}

std::optional<GuestRule> Virtqueue::enter_indirect(const VringDesc& desc, bool nested, Table& table) const {
  if (!indirect_) return GuestRule::kIndirectNotAccepted;
  if (nested) return GuestRule::kIndirectNested;
  if ((desc.flags & VRING_DESC_F_NEXT) != 0) return GuestRule::kIndirectWithNext;
  if ((desc.flags & VRING_DESC_F_WRITE) != 0) return GuestRule::kIndirectWithWrite;
  const uint32_t length = desc.len;
  if (length == 0 || length % sizeof(VringDesc) != 0 || length / sizeof(VringDesc) > size_) {
    return GuestRule::kIndirectLength;
  }
  const auto slice = map_->slice(Gpa{uint64_t{desc.addr}}, length);
  if (!slice) return GuestRule::kIndirectNotInRam;
  table = Table{*slice, static_cast<uint32_t>(length / sizeof(VringDesc))};
  return std::nullopt;
}

std::optional<GuestRule> Virtqueue::add_buffer(const VringDesc& desc, ChainBuffers& buffers) const {
  const uint32_t length = desc.len;
  if (length == 0) return std::nullopt;
  const size_t vectors = resolve(desc.addr, length, buffers.storage.subspan(buffers.readable + buffers.writable));
  if (vectors == 0) return GuestRule::kBufferNotInRam;
  if (buffers.readable_bytes + buffers.writable_bytes + length > kMaxChainBytes) return GuestRule::kLengthsOverflow;
  if ((desc.flags & VRING_DESC_F_WRITE) != 0) {
    buffers.writable += vectors;
    buffers.writable_bytes += length;
  } else {
    if (buffers.writable != 0) return GuestRule::kReadableAfterWritable;
    buffers.readable += vectors;
    buffers.readable_bytes += length;
  }
  return std::nullopt;
}

// One vector for each region that the buffer touches; returns how many, 0 if it is not all in RAM.
size_t Virtqueue::resolve(uint64_t address, uint32_t length, std::span<iovec> to) const {
  // Address 0 is what a forgotten descriptor holds, even where RAM begins there.
  if (address == 0 || address + (length - 1) < address) return 0;
  size_t vectors = 0;
  for (uint64_t left = length; left > 0; vectors++) {
    const auto slice = map_->start_of(Gpa{address + (length - left)}, left);
    if (!slice || vectors == to.size()) return 0;
    to[vectors] = slice->io_vector();
    left -= slice->size();
  }
  return vectors;
}

void Virtqueue::push_used(uint16_t head, uint32_t written) {
  used_.store(used_entry(next_used_ & (size_ - 1)), VringUsedElem{uint32_t{head}, written});
  next_used_++;
}

void Virtqueue::publish() {
  if (published_ == next_used_) return;
  published_ = next_used_;
  // Release pairs with the driver's acquire of used.idx: it sees the entries, the data and the status bytes.
  used_.store16(kRingIndex, published_, __ATOMIC_RELEASE);
}

bool Virtqueue::wants_interrupt() {
  if (signalled_ == published_) return false;
  const uint16_t before = std::exchange(signalled_, published_);
  full_fence();  // pairs with the driver's, between its used_event or flags and its look at used.idx
  if (event_index_) return index_passes(avail_.load16(used_event(size_), __ATOMIC_RELAXED), signalled_, before);
  return (avail_.load16(kRingFlags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
}

}  // namespace acrn
