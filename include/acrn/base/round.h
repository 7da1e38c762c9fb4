// Rounding to multiples of a unit that is a power of two, and the page of x86 as such a unit.
#pragma once

#include <cstdint>

namespace acrn {

inline constexpr uint64_t kPageBytes = 4096;

constexpr uint64_t round_down(uint64_t value, uint64_t unit) { return value & ~(unit - 1); }
// Wraps within a unit of the end of 64 bits.
constexpr uint64_t round_up(uint64_t value, uint64_t unit) { return round_down(value + unit - 1, unit); }

}  // namespace acrn
