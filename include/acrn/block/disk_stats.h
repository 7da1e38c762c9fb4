// What one queue of a disk has done since it was made: plain numbers, taken by anybody who wants to look. Resets do not
// clear them. The numbers of one snapshot may differ by the request that was just being counted.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace acrn {

// kOther: unknown types, and requests whose header could not be read.
enum class DiskRequestKind : uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes, kGetId, kOther };
inline constexpr std::array<std::string_view, 7> kDiskRequestNames{"read",         "write",  "flush", "discard",
                                                                   "write_zeroes", "get_id", "other"};

// Parts of the time that a request takes, each from a look at the clock that serves several requests:
// kRing: from when the device saw the request in the ring, or ended a turn that left it there, until it took it. How
// long it had been there before is not known: a driver's kick does not say.
// kEngine: from then until the driver was shown that it is done: checks, filters, the engine, the disk.
// kAll: both together.
enum class LatencyStage : uint8_t { kRing, kEngine, kAll };
inline constexpr std::array<std::string_view, 3> kLatencyStageNames{"ring", "engine", "all"};

// Bucket 0 is below 1 us, bucket n is [2^(n-1), 2^n) us, and the last one is everything above 2^23 us (8.4 s).
inline constexpr size_t kLatencyBuckets = 25;
constexpr size_t latency_bucket(uint64_t nanoseconds) {
  return std::min<size_t>(static_cast<size_t>(std::bit_width(nanoseconds / 1000)), kLatencyBuckets - 1);
}

struct Latency {
  std::array<uint64_t, kLatencyBuckets> buckets{};
  uint64_t nanoseconds = 0;  // the sum

  uint64_t count() const {
    uint64_t sum = 0;
    for (const uint64_t bucket : buckets) sum += bucket;
    return sum;
  }
  void add(const Latency& other) {
    for (size_t i = 0; i < buckets.size(); i++) buckets[i] += other.buckets[i];
    nanoseconds += other.nanoseconds;
  }
};

// What a host may fail to do for a disk; in the order of BlockOp.
inline constexpr std::array<std::string_view, 5> kDiskOperationNames{"read", "write", "flush", "discard",
                                                                     "write_zeroes"};
struct HostErrorCount {
  size_t operation;  // index of kDiskOperationNames
  int error;         // errno
  uint64_t count;
};

struct QueueStats {
  std::array<uint64_t, kDiskRequestNames.size()> requests{};  // by DiskRequestKind, as they were taken
  uint64_t bytes_read = 0, bytes_written = 0;                 // of those that succeeded
  uint64_t io_errors = 0, unsupported = 0;                    // answered with status 1 and 2
  uint64_t overdue = 0;                                       // not done within io_timeout, whatever became of them
  std::vector<HostErrorCount> host_errors;                    // what of status 1 the host is to blame for; no zeroes
  bool stopped = false;  // until the driver resets it, since it was given what cannot be answered
  uint64_t stops = 0;    // how often that has been
  // Of everything that was returned, by DiskRequestKind and LatencyStage.
  std::array<std::array<Latency, kLatencyStageNames.size()>, kDiskRequestNames.size()> latency{};
  uint64_t in_flight = 0;   // taken and not returned, now
  uint64_t held = 0;        // beside those: failed, and waiting to be tried again
  uint64_t kicks = 0;       // runs of the kick's handler; several kicks may be one run
  uint64_t polls = 0;       // looks at the ring by the timer
  uint64_t interrupts = 0;  // sent, or pending while they are masked

  const Latency& latency_of(size_t kind, LatencyStage stage) const { return latency[kind][static_cast<size_t>(stage)]; }
  // Of all kinds together.
  Latency latency_of(LatencyStage stage) const {
    Latency sum;
    for (size_t kind = 0; kind < latency.size(); kind++) sum.add(latency_of(kind, stage));
    return sum;
  }
};

}  // namespace acrn
