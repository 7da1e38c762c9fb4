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

// Times from taking a request to showing its completion: bucket 0 is below 1 us, bucket n is [2^(n-1), 2^n) us, and
// the last one is everything above 2^23 us (8.4 s).
inline constexpr size_t kLatencyBuckets = 25;
constexpr size_t latency_bucket(uint64_t nanoseconds) {
  return std::min<size_t>(static_cast<size_t>(std::bit_width(nanoseconds / 1000)), kLatencyBuckets - 1);
}

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
  std::array<uint64_t, kLatencyBuckets> latency{};  // of everything that was returned
  uint64_t kicks = 0;                               // runs of the kick's handler; several kicks may be one run
  uint64_t polls = 0;                               // looks at the ring by the timer
  uint64_t interrupts = 0;                          // sent, or pending while they are masked
};

}  // namespace acrn
