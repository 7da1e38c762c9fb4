// A filter of system calls (seccomp(2)), made of the table of system_calls.h.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "acrn/base/result.h"
#include "dm/sandbox/system_calls.h"

namespace acrn {

// What becomes of a call that is not allowed: the process ends, or the kernel's log has a line of it.
enum class Refusal : uint8_t { kKill, kLog };

using SeccompFilter = std::vector<sock_filter>;

// For threads of these kinds, in a process with these parts. Errors: kInternal.
Result<SeccompFilter> make_filter(ThreadSet threads, PartSet parts, Refusal refusal);

// The calling thread, or all of the process: from now on the filter holds, beside those that hold already. The thread
// has no_new_privs. Async-signal-safe. False, with errno.
bool load_filter(const SeccompFilter& filter, bool all_threads);

}  // namespace acrn
