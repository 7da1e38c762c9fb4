#include "hw/pci/virtio/capacity_snapshot.h"

#include <algorithm>
#include <cstring>

namespace acrn {

// A reading takes each byte once. It is over when all have been taken, or when one is taken again; then the access
// begins a new one, together with those that came after the byte's first time (a stray read before the reading
// must not split it). Reading the first byte again takes a new snapshot in any case, and a value serves no more
// accesses than a reading can have, so that who reads only some bytes sees changes too.
bool CapacitySnapshot::starts_reading(unsigned offset, size_t size) {
  const auto begin = read_at_.begin() + offset, end = begin + static_cast<ptrdiff_t>(size);
  const auto taken = [](unsigned access) { return access != 0; };
  const unsigned again = *std::max_element(begin, end);
  if (std::none_of(read_at_.begin(), read_at_.end(), taken)) return true;
  if (std::all_of(read_at_.begin(), read_at_.end(), taken)) return true;
  if (again == 0) return false;
  for (unsigned& access : read_at_) {
    if (access <= again) access = 0;
  }
  return std::none_of(read_at_.begin(), read_at_.end(), taken) || offset == 0 || accesses_ >= 2 * kBytes;
}

void CapacitySnapshot::read(unsigned offset, std::span<uint8_t> to, uint64_t now) {
  const size_t size = std::min<size_t>(to.size(), kBytes - offset);
  if (starts_reading(offset, size)) {
    value_ = now;
    read_at_.fill(0);
    accesses_ = 0;
  }
  accesses_++;
  std::fill_n(read_at_.begin() + offset, size, accesses_);
  // SAFETY: Le64 is eight bytes, and offset + size is at most that.
  std::memcpy(to.data(), reinterpret_cast<const uint8_t*>(&value_) + offset, size);
}

}  // namespace acrn
