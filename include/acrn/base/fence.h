// full_fence(): orders every access before it against every access after it. Each side of a ring publishes an
// index and then looks at what the other side wishes; without this on both sides each could miss the other.
#pragma once

#include <atomic>

namespace acrn {

inline void full_fence() {
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer does not model fences; an operation on one shared object orders at least as much.
  static std::atomic<int> object;
  object.fetch_add(0, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace acrn
