#include "dm/base/event.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace acrn {
namespace {

long futex(std::atomic<uint32_t>* word, int operation, uint32_t value, const timespec* limit) {
  // SAFETY: std::atomic<uint32_t> is lock-free and has the layout of uint32_t, which the kernel expects.
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), operation | FUTEX_PRIVATE_FLAG, value, limit, nullptr,
                 0);
}

}  // namespace

void Event::signal() {
  // Release pairs with the acquire exchange in wait(): the waiter sees what was done before the signal.
  if (state_.exchange(kSignalled, std::memory_order_acq_rel) == kSleeping) {
    futex(&state_, FUTEX_WAKE, INT_MAX, nullptr);
  }
}

bool Event::wait(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (state_.exchange(kIdle, std::memory_order_acq_rel) != kSignalled) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    uint32_t idle = kIdle;
    if (!state_.compare_exchange_strong(idle, kSleeping, std::memory_order_acq_rel)) continue;
    const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    futex(&state_, FUTEX_WAIT, kSleeping, &timeout);
  }
  return true;
}

}  // namespace acrn
