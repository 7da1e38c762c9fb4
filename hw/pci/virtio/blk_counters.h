// BlkCounters: what a BlkQueue counts. Written on the queue's loop alone, so that an addition needs no locked
// instruction; read from any thread.
#pragma once

#include <array>
#include <atomic>
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

// " of 8 sectors at sector 2048", for the log; empty for a flush. `disk_offset` in bytes.
std::string where_text(const BlockRequest& request, uint64_t disk_offset);

struct BlkCounters {
  static constexpr size_t kErrnos = 134;  // 0 is for what is above

  std::array<LoopCounter, kDiskRequestNames.size()> requests;
  LoopCounter bytes_read, bytes_written, io_errors, unsupported, overdue, stops;
  std::array<std::array<LoopCounter, kErrnos>, kDiskOperationNames.size()> host_errors;
  std::array<LoopCounter, kLatencyBuckets> latency;
  LoopCounter kicks, polls, interrupts;
  std::atomic<bool> stopped{false};

  void count(DiskRequestKind kind) { requests[static_cast<size_t>(kind)].add(); }
  // Counts a failed request by operation and errno, and tells some of them to the log and to `events`, which may be
  // null. `name` says in the log whose it is, `disk_offset` (bytes) where it was.
  void record_host_error(std::string_view name, DeviceEvents* events, const BlockRequest& request,
                         uint64_t disk_offset);
  QueueStats snapshot() const;
};

}  // namespace acrn
