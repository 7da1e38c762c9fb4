// run_on_every_thread(): for what Linux keeps for each thread and the C library does not spread over all of them, such
// as capabilities and Landlock.
#pragma once

#include <sys/types.h>

#include <vector>

#include "acrn/base/result.h"

namespace acrn {

// For a program that will need it, before it starts a thread: from now on no thread of ours blocks the signal that
// interrupts it for that.
void prepare_every_thread();
// That signal; 0 in a program that is not prepared.
int every_thread_signal();

struct ReachedThreads {
  std::vector<pid_t> reached;  // without the caller
  // Those that block the signal for longer than 100 ms, as a library's threads may, or are inside the kernel for longer
  // than 2 s.
  unsigned unreached = 0;
};

// Each thread of the process calls `function`, which is async-signal-safe, one after the other and the caller last;
// threads that are started meanwhile too. Any thread, one at a time, in a program that is prepared. Errors: kInternal,
// the threads are not known.
Result<ReachedThreads> run_on_every_thread(void (*function)());
// The caller and those that were reached, as far as they still run, do it again; without a look into /proc.
void run_on_threads_again(const ReachedThreads& threads, void (*function)());

}  // namespace acrn
