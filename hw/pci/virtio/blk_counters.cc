#include "hw/pci/virtio/blk_counters.h"

#include <string>
#include <system_error>

#include "acrn/base/concat.h"
#include "acrn/base/errno_name.h"
#include "acrn/base/log.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {

static_assert(kDiskOperationNames.size() == static_cast<size_t>(BlockOp::kWriteZeroes) + 1);

std::string where_text(const BlockRequest& request, uint64_t disk_offset) {
  if (request.op == BlockOp::kFlush) return "";
  return concat(" of ", request.length >> VIRTIO_BLK_SECTOR_SHIFT, " sectors at sector ",
                disk_offset >> VIRTIO_BLK_SECTOR_SHIFT);
}

void BlkCounters::record_host_error(std::string_view name, DeviceEvents* events, const BlockRequest& request,
                                    uint64_t disk_offset) {
  const auto operation = static_cast<size_t>(request.op), error = static_cast<size_t>(request.error);
  LoopCounter& counter = host_errors[operation][error < kErrnos ? error : 0];
  counter.add();
  if (!worth_telling(counter.value())) return;
  if (events != nullptr) {
    events->tell({DeviceEvent::Kind::kDiskError, kDiskOperationNames[operation].data(), counter.value(), error});
  }
  log(LogLevel::kError, concat(name, ": ", kDiskOperationNames[operation], where_text(request, disk_offset),
                               " failed: ", std::generic_category().message(request.error), " (",
                               errno_name(request.error), ", number ", counter.value(), ")"));
}

Latency LatencyCounter::value() const {
  Latency latency{.nanoseconds = nanoseconds_.value()};
  for (size_t i = 0; i < buckets_.size(); i++) latency.buckets[i] = buckets_[i].value();
  return latency;
}

QueueStats BlkCounters::snapshot() const {
  QueueStats stats{.bytes_read = bytes_read.value(),
                   .bytes_written = bytes_written.value(),
                   .io_errors = io_errors.value(),
                   .unsupported = unsupported.value(),
                   .overdue = overdue.value(),
                   .stopped = stopped.load(std::memory_order_relaxed),
                   .stops = stops.value(),
                   .in_flight = in_flight,
                   .held = held,
                   .kicks = kicks.value(),
                   .polls = polls.value(),
                   .interrupts = interrupts.value()};
  for (size_t i = 0; i < requests.size(); i++) stats.requests[i] = requests[i].value();
  for (size_t kind = 0; kind < latency.size(); kind++) {
    for (size_t stage = 0; stage < latency[kind].size(); stage++)
      stats.latency[kind][stage] = latency[kind][stage].value();
  }
  for (size_t operation = 0; operation < host_errors.size(); operation++) {
    for (size_t error = 0; error < kErrnos; error++) {
      const uint64_t count = host_errors[operation][error].value();
      if (count != 0) stats.host_errors.push_back({operation, static_cast<int>(error), count});
    }
  }
  return stats;
}

}  // namespace acrn
