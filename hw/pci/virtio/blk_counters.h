// BlkCounters: what a BlkQueue counts. Written on the queue's loop alone, so that an addition needs no locked
// instruction; read from any thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "acrn/block/blockif.h"
#include "acrn/block/disk_stats.h"
#include "acrn/virtio/device_events.h"

namespace acrn {

class LoopCounter {
 public:
  void add(uint64_t n = 1) { value_.store(value() + n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How many there are now. The same threads.
class LoopGauge {
 public:
  operator unsigned() const { return value_.load(std::memory_order_relaxed); }
  void operator++(int) { value_.store(*this + 1, std::memory_order_relaxed); }
  void operator--(int) { value_.store(*this - 1, std::memory_order_relaxed); }

 private:
  std::atomic<unsigned> value_{0};
};

// " of 8 sectors at sector 2048", for the log; empty for a flush. `disk_offset` in bytes.
std::string where_text(const BlockRequest& request, uint64_t disk_offset);

class LatencyCounter {
 public:
  // So many that took that time each.
  void add(std::chrono::nanoseconds time, uint64_t count) {
    const auto nanoseconds = static_cast<uint64_t>(time.count());
    buckets_[latency_bucket(nanoseconds)].add(count);
    nanoseconds_.add(nanoseconds * count);
  }
  Latency value() const;

 private:
  std::array<LoopCounter, kLatencyBuckets> buckets_;
  LoopCounter nanoseconds_;
};

// When a request was where.
struct RequestTimes {
  using Time = std::chrono::steady_clock::time_point;

  Time waiting_since{};  // in the ring, as far as the device knows
  Time taken{};
  bool operator==(const RequestTimes&) const = default;
};

struct BlkCounters {
  static constexpr size_t kErrnos = 134;  // 0 is for what is above

  std::array<LoopCounter, kDiskRequestNames.size()> requests;
  LoopCounter bytes_read, bytes_written, io_errors, unsupported, overdue, stops;
  std::array<std::array<LoopCounter, kErrnos>, kDiskOperationNames.size()> host_errors;
  std::array<std::array<LatencyCounter, kLatencyStageNames.size()>, kDiskRequestNames.size()> latency;
  LoopCounter kicks, polls, interrupts;
  LoopGauge in_flight, held;
  std::atomic<bool> stopped{false};

  void count(DiskRequestKind kind) { requests[static_cast<size_t>(kind)].add(); }
  // So many were returned, which the driver was shown at `shown`.
  void count_times(DiskRequestKind kind, const RequestTimes& times, RequestTimes::Time shown, uint64_t count) {
    auto& stages = latency[static_cast<size_t>(kind)];
    stages[static_cast<size_t>(LatencyStage::kRing)].add(times.taken - times.waiting_since, count);
    stages[static_cast<size_t>(LatencyStage::kEngine)].add(shown - times.taken, count);
    stages[static_cast<size_t>(LatencyStage::kAll)].add(shown - times.waiting_since, count);
  }
  // Counts a failed request by operation and errno, and tells some of them to the log and to `events`, which may be
  // null. `name` says in the log whose it is, `disk_offset` (bytes) where it was.
  void record_host_error(std::string_view name, DeviceEvents* events, const BlockRequest& request,
                         uint64_t disk_offset);
  QueueStats snapshot() const;
};

}  // namespace acrn
