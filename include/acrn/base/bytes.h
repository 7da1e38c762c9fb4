// Little-endian integers for structures that cross to a guest. Wire structures are made of these alone and
// carry a static_assert on their size.
#pragma once

#include <bit>
#include <cstdint>

namespace acrn {

template <class T>
class LittleEndian {
 public:
  constexpr LittleEndian() = default;
  constexpr LittleEndian(T value) : raw_(swap(value)) {}
  constexpr operator T() const { return swap(raw_); }

 private:
  static constexpr T swap(T value) {
    if constexpr (std::endian::native == std::endian::little) {
      return value;
    } else {
      T swapped = 0;
      for (unsigned i = 0; i < sizeof(T); i++) {
        swapped = static_cast<T>((swapped << 8) | ((value >> (8 * i)) & 0xff));
      }
      return swapped;
    }
  }

  T raw_ = 0;
};

using Le16 = LittleEndian<uint16_t>;
using Le32 = LittleEndian<uint32_t>;
using Le64 = LittleEndian<uint64_t>;

}  // namespace acrn
