// A signal whose arrival is all that counts: it ends a system call that waits for the guest.
#pragma once

#include <csignal>

namespace acrn {

inline int vcpu_signal() { return SIGRTMIN; }

// For the process; any number of times.
inline void install_kick_handler() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(vcpu_signal(), &action, nullptr);
}

// For the calling thread, whose starter may have blocked it.
inline void accept_kicks() {
  sigset_t kick;
  sigemptyset(&kick);
  sigaddset(&kick, vcpu_signal());
  pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);
}

}  // namespace acrn
