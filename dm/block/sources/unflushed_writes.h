// UnflushedWrites: whether a server that was lost may have had writes that it had acknowledged and not made stable
// (docs/adr/0026).
#pragma once

#include <atomic>
#include <cstdint>

namespace acrn {

// Any thread.
class UnflushedWrites {
 public:
  // A write was acknowledged that is not stable. The number of them is what a flush that starts now covers.
  void note_write() { written_.fetch_add(1, std::memory_order_release); }
  uint64_t written() const { return written_.load(std::memory_order_acquire); }
  // Such a flush was answered. One that failed may have lost what it was for.
  void note_flush(uint64_t covered, int error) {
    if (error != 0) {
      lost_.store(true, std::memory_order_release);
      return;
    }
    uint64_t before = flushed_.load(std::memory_order_relaxed);
    while (before < covered && !flushed_.compare_exchange_weak(before, covered, std::memory_order_acq_rel)) {
    }
  }
  // The server is gone, and with it what it had not made stable. True: writes may be lost, which is news.
  bool note_lost_server() {
    if (written() == flushed_.load(std::memory_order_acquire)) return false;
    return !lost_.exchange(true, std::memory_order_acq_rel);
  }
  // From then on no flush can say that all is stable (docs/adr/0005, 0026).
  bool lost() const { return lost_.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> written_{0}, flushed_{0};
  std::atomic<bool> lost_{false};
};

}  // namespace acrn
