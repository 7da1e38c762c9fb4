// What a program does about SIGBUS: a mapping that has lost its file is repaired, see SharedMapping. Not in the
// library, whose host has a handler of its own.
#pragma once

#include <csignal>

namespace acrn {

// Catches SIGBUS from now on, in a program that has no handler of its own. False, with errno: it cannot be. Any thread.
bool catch_bus_errors();
// For other handlers of SIGBUS: whether it was such a fault, which is repaired now. Async-signal-safe.
bool repair_bus_error(const siginfo_t& info);

}  // namespace acrn
