#include "hw/pci/virtio/virtqueue.h"

#include <utility>

#include "acrn/base/fence.h"
#include "hw/pci/virtio/queue_trace.h"

namespace acrn {
namespace {

constexpr uint64_t kMaxChainBytes = uint64_t{1} << 32;

std::byte* end_of(const iovec& buffer) { return static_cast<std::byte*>(buffer.iov_base) + buffer.iov_len; }

}  // namespace

void DescChain::complete(uint32_t written) {
  ACRN_CHECK(queue_ != nullptr);
  std::exchange(queue_, nullptr)->push_used(head_, written);
}

bool Virtqueue::find_ring(std::shared_ptr<const MemoryMap> map) {
  const RingLayout layout = ring_layout(size_);
  const auto desc = map->slice(ring_.desc, layout.desc_bytes);
  const auto avail = map->slice(ring_.avail, layout.avail_bytes);
  const auto used = map->slice(ring_.used, layout.used_bytes);
  if (!desc || !avail || !used) return false;
  desc_ = *desc;
  avail_ = *avail;
  used_ = *used;
  map_ = std::move(map);
  return true;
}

bool Virtqueue::start(std::shared_ptr<const MemoryMap> map, const QueueSetup& setup) {
  ring_ = setup.ring;
  size_ = setup.size;
  if (!find_ring(std::move(map))) return false;
  broken_ = false;
  kick_flag_ = setup.used_flags;
  avail_index_ = next_avail_ = setup.next_avail;
  next_used_ = published_ = signalled_ = setup.next_used;
  inflight_ = setup.inflight;
  taken_.assign(setup.taken.rbegin(), setup.taken.rend());
  taken_left_ = static_cast<unsigned>(taken_.size());
  return true;
}

GuestRule Virtqueue::why_missing(const MemoryMap& map) const {
  const RingLayout layout = ring_layout(size_);
  const bool unreachable = map.is_unreachable(ring_.desc, layout.desc_bytes) ||
                           map.is_unreachable(ring_.avail, layout.avail_bytes) ||
                           map.is_unreachable(ring_.used, layout.used_bytes);
  return unreachable ? GuestRule::kMemoryUnreachable : GuestRule::kRingNotInRam;
}

bool Virtqueue::is_blank() const {
  if (next_avail_ != 0 || broken_ || !running()) return false;
  const auto first = desc_.load<VringDesc>(0);
  return avail_.load16(kRingIndex, __ATOMIC_RELAXED) == 0 && first.addr == 0 && first.len == 0;
}

void Virtqueue::record_error(GuestRule rule, uint64_t detail) {
  if (trace_ == nullptr) return guest_errors_.record(rule, detail);
  trace_->error(rule, detail);
  guest_errors_.record_of_queue(rule, detail);
}

void Virtqueue::break_queue(GuestRule rule, uint64_t detail) {
  broken_ = true;
  record_error(rule, detail);
}

void Virtqueue::drop_without_status(DescChain chain) {
  ACRN_CHECK(chain.queue_ == this);
  chain.queue_ = nullptr;
  broken_ = true;
}

void Virtqueue::disable_kicks(KickPause pause) {
  if (!running()) return;
  if (!event_index_) return store_kick_flag(VRING_USED_F_NO_NOTIFY);
  if (pause == KickPause::kTurn || broken_) return;  // not to move avail_event is enough
  store_kick_flag(0);
  // Half the range away from where the driver is, so nothing that it adds passes it (virtio 0.9.5 2.4.1).
  store_avail_event(static_cast<uint16_t>(next_avail_ ^ 0x8000));
}

bool Virtqueue::enable_kicks(KickPoint point) {
  if (!running() || broken_) return false;
  store_kick_flag(0);
  if (point == KickPoint::kBeyondRing) {
    const uint16_t index = avail_.load16(kRingIndex, __ATOMIC_RELAXED);
    if (event_index_) store_avail_event(index);
    full_fence();  // as below
    return avail_.load16(kRingIndex, __ATOMIC_RELAXED) != index;
  }
  if (event_index_) store_avail_event(next_avail_);
  full_fence();  // pairs with the driver's, between its avail.idx and its look at our flags or avail_event
  return avail_.load16(kRingIndex, __ATOMIC_RELAXED) != next_avail_;
}

std::optional<DescChain> Virtqueue::pop_taken() {
  if (!running() || broken_ || taken_left_ == 0) return std::nullopt;
  return DescChain(*this, taken_[--taken_left_]);
}

std::optional<DescChain> Virtqueue::pop() {
  if (!running() || broken_) return std::nullopt;
  if (taken_left_ != 0) [[unlikely]]
    return pop_taken();
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
  if (inflight_ != nullptr) inflight_->take(head);
  return DescChain(*this, head);
}

// A walk along one chain. After the first rule that the chain breaks it goes on only to find the chain's last writable
// byte.
struct Virtqueue::Walk {
  const MemoryMap& map;
  GuestSlice table;  // what of it is in one region
  uint32_t entries;  // of the table
  unsigned left;     // entries to look at before the chain must have ended
  QueueTrace* trace;
  unsigned buffers = 0;  // passed so far, with empty ones
  bool in_indirect = false;
  Gpa indirect{};  // where the indirect table is
  std::optional<GuestRule> broken;
  uint64_t detail = 0;
  bool misshapen = false;  // `broken` is about how descriptors refer to each other
  bool dropped = false;    // since then a writable buffer has come, which is not among the vectors

  // The one copy that decides.
  VringDesc load(uint32_t index) const {
    const size_t offset = sizeof(VringDesc) * index;
    VringDesc desc;
    if (offset + sizeof(VringDesc) <= table.size()) {
      desc = table.load<VringDesc>(offset);
    } else {
      map.copy_out(Gpa{raw(indirect) + offset}, &desc, sizeof(desc));
    }
    if (trace != nullptr) [[unlikely]]
      trace->descriptor(desc);
    return desc;
  }
  bool good() const { return !broken; }
  // The first rule about a buffer is told of,
  void refuse_buffer(GuestRule rule, uint64_t value) {
    if (good()) broken = rule, detail = value;
  }
  // but rather the first one about the chain's shape. Returns false.
  bool refuse_shape(GuestRule rule, uint64_t value) {
    if (!std::exchange(misshapen, true)) broken = rule, detail = value;
    return false;
  }
  // For memory that is not in the map: whose fault that is depends on what the VMM granted.
  GuestRule rule_of(uint64_t address, uint64_t length, GuestRule guests) const {
    return map.is_unreachable(Gpa{address}, length) ? GuestRule::kMemoryUnreachable : guests;
  }
};

bool Virtqueue::read_chain(uint16_t head, ChainBuffers& buffers) {
  buffers.readable = buffers.writable = 0;
  buffers.readable_bytes = buffers.writable_bytes = 0;
  buffers.status = nullptr;
  Walk walk{*map_, desc_, size_, size_, trace_};
  const bool ends = find_end(head, buffers, walk);
  if (buffers.writable != 0 && !walk.dropped) [[likely]]
    buffers.status = end_of(buffers.writable_part().back()) - 1;
  if (walk.good()) [[likely]]
    return true;
  if (!ends) buffers.status = nullptr;
  record_error(*walk.broken, walk.detail);
  return false;
}

// False: the chain has no end.
bool Virtqueue::find_end(uint16_t head, ChainBuffers& buffers, Walk& walk) {
  for (uint32_t index = head; walk.left > 0; walk.left--) {
    const VringDesc desc = walk.load(index);
    if ((desc.flags & VRING_DESC_F_INDIRECT) != 0) {
      if (!enter_table(desc, walk)) return false;
      index = 0;
      continue;
    }
    if (++walk.buffers > ChainBuffers::kMaxTable) walk.refuse_shape(GuestRule::kChainTooLong, head);
    add_buffer(desc, buffers, walk);
    if ((desc.flags & VRING_DESC_F_NEXT) == 0) {
      // Served all the same; of a table that is longer than the ring itself this has been counted.
      if (walk.good() && walk.buffers > size_ && walk.entries <= size_) record_error(GuestRule::kChainTooLong, head);
      return true;
    }
    index = desc.next;
    if (index >= walk.entries) return walk.refuse_shape(GuestRule::kNextOutOfRange, index);
  }
  return walk.refuse_shape(GuestRule::kChainTooLong, head);
}

// False: the walk cannot go on there.
bool Virtqueue::enter_table(const VringDesc& desc, Walk& walk) {
  const uint64_t address = desc.addr;
  const uint32_t length = desc.len, entries = length / sizeof(VringDesc);
  if (!indirect_) walk.refuse_shape(GuestRule::kIndirectNotAccepted, address);
  if (walk.in_indirect) walk.refuse_shape(GuestRule::kIndirectNested, address);
  if (entries == 0) return walk.refuse_shape(GuestRule::kIndirectLength, length);
  if (length % sizeof(VringDesc) != 0 || entries > ChainBuffers::kMaxTable)
    walk.refuse_shape(GuestRule::kIndirectLength, length);
  // Does the chain end in the table, or behind it?
  if ((desc.flags & VRING_DESC_F_NEXT) != 0) return walk.refuse_shape(GuestRule::kIndirectWithNext, address);
  const auto table = map_->start_of(Gpa{address}, length);
  if (!table || (table->size() != length && !map_->holds(Gpa{address}, length))) {
    return walk.refuse_shape(walk.rule_of(address, length, GuestRule::kIndirectNotInRam), address);
  }
  // These two are served. WRITE means nothing here (virtio 1.2 2.7.5.3.2).
  if (walk.good() && (desc.flags & VRING_DESC_F_WRITE) != 0) record_error(GuestRule::kIndirectWithWrite, address);
  if (walk.good() && entries > size_) record_error(GuestRule::kIndirectLength, length);
  if (!std::exchange(walk.in_indirect, true)) walk.left = ChainBuffers::kMaxTable + 1;  // with this entry of the ring
  walk.table = *table;
  walk.indirect = Gpa{address};
  walk.entries = entries;
  return true;
}

void Virtqueue::add_buffer(const VringDesc& desc, ChainBuffers& buffers, Walk& walk) const {
  const uint64_t address = desc.addr;
  const uint32_t length = desc.len;
  if (length == 0) return;
  const bool writable = (desc.flags & VRING_DESC_F_WRITE) != 0, in_order = writable || buffers.writable == 0;
  const uint64_t bytes = buffers.readable_bytes + buffers.writable_bytes + length;
  if (walk.good() && in_order && bytes <= kMaxChainBytes) [[likely]] {
    const size_t vectors = resolve(address, length, buffers.storage.subspan(buffers.readable + buffers.writable));
    if (vectors != 0) [[likely]] {
      (writable ? buffers.writable : buffers.readable) += vectors;
      (writable ? buffers.writable_bytes : buffers.readable_bytes) += length;
      return;
    }
  }
  refuse_buffer(desc, in_order, bytes > kMaxChainBytes, walk);
  if (!writable) return;
  walk.dropped = true;
  buffers.status = last_byte(desc);
}

// The rule that it breaks, unless the chain is refused already: in more pieces than there is room for, if it is no
// other.
void Virtqueue::refuse_buffer(const VringDesc& desc, bool in_order, bool overflows, Walk& walk) const {
  const uint64_t address = desc.addr;
  const uint32_t length = desc.len;
  if (!walk.good()) return;
  if (!in_order) return walk.refuse_buffer(GuestRule::kReadableAfterWritable, address);
  const bool in_ram = address != 0 && map_->holds(Gpa{address}, length);
  if (!in_ram) return walk.refuse_buffer(walk.rule_of(address, length, GuestRule::kBufferNotInRam), address);
  walk.refuse_buffer(overflows ? GuestRule::kLengthsOverflow : GuestRule::kChainTooLong, length);
}

// The last byte of a buffer that is not empty; null if it cannot be reached.
std::byte* Virtqueue::last_byte(const VringDesc& desc) const {
  const uint64_t address = desc.addr, last = address + desc.len - 1;
  if (address == 0 || last < address) return nullptr;
  const auto slice = map_->slice(Gpa{last}, 1);
  return slice ? static_cast<std::byte*>(slice->io_vector().iov_base) : nullptr;
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
  if (inflight_ != nullptr) inflight_->use(head);
}

void Virtqueue::publish() {
  if (published_ == next_used_) return;
  published_ = next_used_;
  // Release pairs with the driver's acquire of used.idx: it sees the entries, the data and the status bytes.
  used_.store16(kRingIndex, published_, __ATOMIC_RELEASE);
  if (inflight_ != nullptr) inflight_->publish(published_);
}

bool Virtqueue::wants_interrupt() {
  if (!has_news()) return false;
  const uint16_t before = std::exchange(signalled_, published_);
  full_fence();  // pairs with the driver's, between its used_event or flags and its look at used.idx
  if (event_index_) return index_passes(avail_.load16(used_event(size_), __ATOMIC_RELAXED), signalled_, before);
  return (avail_.load16(kRingFlags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
}

}  // namespace acrn
