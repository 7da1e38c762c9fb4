// CapacitySnapshot: the capacity for drivers that read it in parts. Legacy has no generation counter, so a resize
// between two parts could make a driver put an old and a new half together. Parts that belong to one reading are
// therefore served from one value (docs/adr/0007). No lock of its own.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "acrn/base/bytes.h"

namespace acrn {

class CapacitySnapshot {
 public:
  // The bytes from `offset` on, at most up to the eighth; `now` is the capacity in 512-byte sectors.
  void read(unsigned offset, std::span<uint8_t> to, uint64_t now);
  // The next read begins a new reading.
  void reset() { read_at_.fill(0); }

 private:
  static constexpr unsigned kBytes = 8;

  bool starts_reading(unsigned offset, size_t size);

  Le64 value_;
  std::array<unsigned, kBytes> read_at_{};  // which access of this reading took the byte; 0: none
  unsigned accesses_ = 0;                   // since value_ was taken
};

}  // namespace acrn
