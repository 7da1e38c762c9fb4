#include "queue.h"

namespace {

constexpr uint32_t kPage = 4096;
constexpr uint32_t round_up(uint32_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// 2.3: descriptors and available ring, then from the next page on the used ring. Each ring has two bytes more than its
// entries, for the event index.
constexpr uint32_t used_offset(uint32_t size) { return round_up(16 * size + 4 + 2 * size + 2); }
constexpr uint32_t ring_bytes(uint32_t size) { return used_offset(size) + round_up(4 + 8 * size + 2); }

alignas(kPage) uint8_t ring[ring_bytes(Queue::kMaxSize)];
Descriptor tables[Queue::kMaxSize][Queue::kMaxTable];

// SAFETY: without paging an address is a number.
uint32_t address(const void* of) { return reinterpret_cast<uintptr_t>(of); }

// What both sides of an event index ask (2.4.2): has an index that went from `before` to `now` passed `event`? Of 16
// bits, so that it is right also where the index goes on from 0xffff to 0.
bool passed(uint16_t event, uint16_t now, uint16_t before) {
  return static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - before);
}

}  // namespace

void Queue::set_up(uint16_t size, bool event_index) {
  size_ = size;
  event_index_ = event_index;
  for (uint8_t& byte : ring) byte = 0;
  // SAFETY: the three parts of the ring are where the device looks for them, each aligned as it has to be.
  descriptors_ = reinterpret_cast<Descriptor*>(ring);
  available_ = reinterpret_cast<Available*>(ring + 16 * size);
  used_ = reinterpret_cast<Used*>(ring + used_offset(size));
  next_available_ = published_ = next_used_ = 0;
  for (uint16_t i = 0; i < size; ++i) free_[i] = static_cast<uint16_t>(size - 1 - i);
  free_count_ = size;
}

uint32_t Queue::page() const { return address(ring) / kPage; }

void Queue::fill(Descriptor& descriptor, const Buffer& buffer) {
  descriptor.address = address(buffer.start);
  descriptor.length = buffer.length;
  descriptor.flags = buffer.device_writes ? Descriptor::kWrite : 0;
}

uint16_t Queue::add(const Buffer* buffers, unsigned count) {
  const uint16_t head = next_head();
  for (unsigned i = 0; i < count; ++i) {
    Descriptor& descriptor = descriptors_[free_[--free_count_]];
    fill(descriptor, buffers[i]);
    if (i + 1 == count) break;
    descriptor.flags |= Descriptor::kNext;
    descriptor.next = free_[free_count_ - 1];
  }
  make_available(head);
  return head;
}

uint16_t Queue::add_indirect(const Buffer* buffers, unsigned count) {
  const uint16_t head = free_[--free_count_];
  Descriptor* const table = tables[head];
  for (unsigned i = 0; i < count; ++i) {
    fill(table[i], buffers[i]);
    if (i + 1 == count) break;
    table[i].flags |= Descriptor::kNext;
    table[i].next = static_cast<uint16_t>(i + 1);  // of the table, not of the ring
  }
  fill(descriptors_[head], {table, count * 16, false});
  descriptors_[head].flags = Descriptor::kIndirect;
  make_available(head);
  return head;
}

void Queue::make_available(uint16_t head) { available_->entries[next_available_++ % size_] = head; }

bool Queue::publish() {
  // 2.4.1.3: the device must see descriptors and entries no later than the index.
  __atomic_store_n(&available_->index, next_available_, __ATOMIC_RELEASE);
  // 2.4.1.4: and the index no later than we look whether it still wants a kick. Else it goes to sleep while we believe
  // that it is awake. Even an x86 lets a load overtake a store.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  const uint16_t before = published_;
  published_ = next_available_;
  if (event_index_) return passed(avail_event(), published_, before);
  return (__atomic_load_n(&used_->flags, __ATOMIC_RELAXED) & Used::kNoKick) == 0;
}

uint16_t Queue::avail_event() {
  // SAFETY: it lies where the entry behind the last one would (2.3.5).
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(&used_->entries[size_]), __ATOMIC_RELAXED);
}

bool Queue::take(UsedEntry& used) {
  // 2.4.2: whatever is not equal is new. Which of the two is larger says nothing, for both of them wrap.
  if (__atomic_load_n(&used_->index, __ATOMIC_ACQUIRE) == next_used_) return false;
  used = used_->entries[next_used_++ % size_];
  for (auto number = static_cast<uint16_t>(used.head);; number = descriptors_[number].next) {
    free_[free_count_++] = number;
    if ((descriptors_[number].flags & Descriptor::kNext) == 0) return true;
  }
}

void Queue::want_no_interrupt() {
  available_->flags = Available::kNoInterrupt;
  // With the event index the flag has no meaning. The index has just passed this number, and comes to it once more only
  // after all others.
  used_event() = static_cast<uint16_t>(next_used_ - 1);
}

void Queue::want_interrupt_after(uint16_t chains) {
  available_->flags = 0;
  used_event() = static_cast<uint16_t>(next_used_ + chains - 1);
  // 2.4.2: the device must see this before we look at the ring once more. Else the chain that came in between is told
  // by nobody.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void Queue::shuffle() {
  static uint32_t random = 2463534242;
  for (uint16_t i = free_count_; i > 1; --i) {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    const uint32_t other = random % i;
    const uint16_t swapped = free_[other];
    free_[other] = free_[i - 1];
    free_[i - 1] = swapped;
  }
}
