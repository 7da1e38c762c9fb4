// OneAtATime: a job that several threads may ask for and one at a time does, without a lock. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace acrn {

class OneAtATime {
 public:
  // On return the job has run since the call, or another thread that is inside run() is about to run it.
  template <class Job>
  void run(Job&& job) {
    // acq_rel pairs with the fetch_sub below: who does the job sees what a leaver changed before it asked.
    if (asked_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
    uint32_t served;
    do {
      served = asked_.load(std::memory_order_acquire);
      job();
    } while (asked_.fetch_sub(served, std::memory_order_acq_rel) != served);
  }

 private:
  std::atomic<uint32_t> asked_{0};  // calls that are not yet served
};

}  // namespace acrn
