#include "hw/pci/msix.h"

#include "acrn/base/check.h"

namespace acrn {
namespace {

constexpr unsigned kCapabilityLength = 12;
constexpr uint16_t kControlEnable = 0x8000;
constexpr uint16_t kControlFunctionMask = 0x4000;
constexpr uint32_t kVectorMasked = 1;
constexpr unsigned kEntrySize = 16;
constexpr unsigned kPendingOffset = 0x800;  // behind the largest table
static_assert(Msix::kMaxVectors * kEntrySize <= kPendingOffset);

}  // namespace

Msix::Msix(unsigned vectors, MsiSink& sink) : sink_(sink), entries_(vectors) {
  ACRN_CHECK(vectors >= 1 && vectors <= kMaxVectors);
  reset();
}

void Msix::add_capability(ConfigSpace& space, unsigned bar) {
  capability_ = space.add_capability(PCI_CAP_ID_MSIX, kCapabilityLength);
  space.set(capability_ + 2, 2, vectors() - 1);
  space.make_writable(capability_ + 2, 2, kControlEnable | kControlFunctionMask);
  space.set(capability_ + 4, 4, bar);
  space.set(capability_ + 8, 4, kPendingOffset | bar);
}

void Msix::refresh(const ConfigSpace& space) {
  if (capability_ == 0) return;
  const uint32_t control = space.read(capability_ + 2, 2);
  function_masked_ = (control & kControlFunctionMask) != 0;
  enabled_.store((control & kControlEnable) != 0, std::memory_order_release);
}

void Msix::send_unmasked() {
  if (!enabled()) return;
  for (unsigned vector = 0; vector < vectors(); vector++) send_if_unmasked(vector);
}

void Msix::reset() {
  enabled_ = false;
  function_masked_ = false;
  for (auto& word : pending_) word = 0;
  for (Entry& entry : entries_) {
    for (auto& word : entry.words) word = 0;
    entry.words[3] = kVectorMasked;
  }
}

bool Msix::masked(unsigned vector) const {
  return function_masked_ || (entries_[vector].words[3] & kVectorMasked) != 0;
}

void Msix::notify(unsigned vector) {
  if (masked(vector)) {
    pending_[vector / 32].fetch_or(1u << (vector % 32));
    // A thread that unmasks between the test and the store has not seen the pending bit: look again. All of these are
    // sequentially consistent; pairs with write_word() and refresh() with send_unmasked(), which unmask first
    // and look second.
    send_if_unmasked(vector);
    return;
  }
  const Entry& entry = entries_[vector];
  sink_.send(entry.words[0] | uint64_t{entry.words[1]} << 32, entry.words[2]);
}

void Msix::send_if_unmasked(unsigned vector) {
  const uint32_t bit = 1u << (vector % 32);
  if (masked(vector) || (pending_[vector / 32].fetch_and(~bit) & bit) == 0) return;
  const Entry& entry = entries_[vector];
  sink_.send(entry.words[0] | uint64_t{entry.words[1]} << 32, entry.words[2]);
}

uint32_t Msix::read_word(uint64_t offset) const {
  if (offset < entries_.size() * kEntrySize) return entries_[offset / kEntrySize].words[offset % kEntrySize / 4];
  const uint64_t pending_word = (offset - kPendingOffset) / 4;
  if (offset >= kPendingOffset && pending_word < std::size(pending_)) return pending_[pending_word];
  return 0;
}

void Msix::write_word(uint64_t offset, uint32_t value) {
  if (offset >= entries_.size() * kEntrySize) return;
  const auto vector = static_cast<unsigned>(offset / kEntrySize);
  const unsigned word = offset % kEntrySize / 4;
  entries_[vector].words[word] = word == 3 ? value & kVectorMasked : value;
  if (word == 3 && enabled()) send_if_unmasked(vector);
}

uint64_t Msix::bar_read(uint64_t offset, unsigned size) const {
  if ((size != 4 && size != 8) || offset % size != 0 || offset > kBarSize - size) return ~uint64_t{0};
  if (size == 4) return read_word(offset);
  return read_word(offset) | uint64_t{read_word(offset + 4)} << 32;
}

void Msix::bar_write(uint64_t offset, unsigned size, uint64_t value) {
  if ((size != 4 && size != 8) || offset % size != 0 || offset > kBarSize - size) return;
  write_word(offset, static_cast<uint32_t>(value));
  if (size == 8) write_word(offset + 4, static_cast<uint32_t>(value >> 32));
}

}  // namespace acrn
