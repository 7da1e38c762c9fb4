// BlkCounters: what a BlkQueue counts. Written on the queue's loop alone, so that an addition needs no locked
// instruction; read from any thread.
#pragma once

#include <atomic>

#include "acrn/block/disk_stats.h"

namespace acrn {

class LoopCounter {
 public:
  void add(uint64_t n = 1) { value_.store(value() + n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct BlkCounters {
  static constexpr size_t kErrnos = 134;  // 0 is for what is above

  std::array<LoopCounter, kDiskRequestNames.size()> requests;
  LoopCounter bytes_read, bytes_written, io_errors, unsupported, stops;
  std::array<std::array<LoopCounter, kErrnos>, kDiskOperationNames.size()> host_errors;
  std::array<LoopCounter, kLatencyBuckets> latency;
  LoopCounter kicks, polls, interrupts;
  std::atomic<bool> stopped{false};

  QueueStats snapshot() const {
    QueueStats stats{.bytes_read = bytes_read.value(),
                     .bytes_written = bytes_written.value(),
                     .io_errors = io_errors.value(),
                     .unsupported = unsupported.value(),
                     .stopped = stopped.load(std::memory_order_relaxed),
                     .stops = stops.value(),
                     .kicks = kicks.value(),
                     .polls = polls.value(),
                     .interrupts = interrupts.value()};
    for (size_t i = 0; i < requests.size(); i++) stats.requests[i] = requests[i].value();
    for (size_t i = 0; i < latency.size(); i++) stats.latency[i] = latency[i].value();
    for (size_t operation = 0; operation < host_errors.size(); operation++) {
      for (size_t error = 0; error < kErrnos; error++) {
        const uint64_t count = host_errors[operation][error].value();
        if (count != 0) stats.host_errors.push_back({operation, static_cast<int>(error), count});
      }
    }
    return stats;
  }
};

}  // namespace acrn
