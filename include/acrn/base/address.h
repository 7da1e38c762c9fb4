// A host address as a number: to look at its alignment, or to hand it to a kernel that takes numbers.
#pragma once

#include <cstdint>

namespace acrn {

inline uintptr_t address_of(const volatile void* pointer) {
  // SAFETY: nothing is read through it.
  return reinterpret_cast<uintptr_t>(pointer);
}

}  // namespace acrn
