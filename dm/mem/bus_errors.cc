#include "dm/mem/bus_errors.h"

#include <cerrno>

#include "dm/mem/shared_mapping.h"

namespace acrn {
namespace {

struct sigaction next_action;

bool was_sent(const siginfo_t& info) { return info.si_code <= 0; }  // by a process, and for no address

// Only what a signal handler may: atomics that are lock-free, and system calls.
void handle_bus_error(int signal, siginfo_t* info, void*) {
  if (repair_bus_error(*info)) return;
  // Not ours: as if we had not been here. A fault comes again by itself.
  ::sigaction(signal, &next_action, nullptr);
  if (was_sent(*info)) ::raise(signal);
}

}  // namespace

bool repair_bus_error(const siginfo_t& info) {
  const int saved_errno = errno;
  const bool repaired = !was_sent(info) && SharedMapping::recover(info.si_addr);
  errno = saved_errno;
  return repaired;
}

bool catch_bus_errors() {
  static const bool caught = [] {
    struct sigaction action {};
    action.sa_sigaction = handle_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, &next_action) == 0;
  }();
  if (caught) SharedMapping::note_handler();
  return caught;
}

}  // namespace acrn
