// Event: one thread sleeps until another signals; no system call on either side unless someone sleeps.
// This is how the loopback guest's CPU waits for an interrupt.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace acrn {

class Event {
 public:
  // Any thread.
  void signal();
  // Consumes every signal since the last wait. False: the time ran out without one. One waiter at a time.
  bool wait(std::chrono::milliseconds limit);

 private:
  enum State : uint32_t { kIdle, kSleeping, kSignalled };
  std::atomic<uint32_t> state_{kIdle};
};

}  // namespace acrn
