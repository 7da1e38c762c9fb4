// --sandbox: whether the process confines itself.
#pragma once

#include <cstdint>

#include "dm/cli/option_table.h"

namespace acrn {

// kLog: a system call that is not allowed is carried out, and the kernel's log has a line of it.
enum class SandboxMode : uint8_t { kOff, kLog, kOn };

inline constexpr ChoiceWords<SandboxMode, 3> kSandboxWords{
    {{"on", SandboxMode::kOn}, {"log", SandboxMode::kLog}, {"off", SandboxMode::kOff}}};

// A sanitizer's runtime, and a coverage count's, make system calls and open files of their own.
#ifdef ACRN_INSTRUMENTED
inline constexpr bool kCanBeConfined = false;
#else
inline constexpr bool kCanBeConfined = true;
#endif

}  // namespace acrn
