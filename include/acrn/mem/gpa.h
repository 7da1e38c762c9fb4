// Gpa: a guest-physical address. It converts to nothing; MemoryMap::slice() is the only way to memory.
#pragma once

#include <cstdint>

namespace acrn {

enum class Gpa : uint64_t {};

constexpr uint64_t raw(Gpa gpa) { return static_cast<uint64_t>(gpa); }

}  // namespace acrn
