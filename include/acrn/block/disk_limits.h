// DiskLimits: how much a disk may be asked for in a second (docs/options.md).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace acrn {

// Requests or bytes.
struct RateLimit {
  uint64_t rate = 0;   // a second; 0: no limit
  uint64_t burst = 0;  // that may be saved up while less is asked for; 0: of kDefaultBurst
  bool operator==(const RateLimit&) const = default;
};

// What a limit counts. Writes are all requests but reads; only reads and writes have bytes.
enum class LimitKind : uint8_t { kRequests, kReads, kWrites, kBytes, kBytesRead, kBytesWritten };
inline constexpr std::array<std::string_view, 6> kLimitNames{"iops", "iops_rd", "iops_wr", "bps", "bps_rd", "bps_wr"};
constexpr bool counts_bytes(LimitKind kind) { return kind >= LimitKind::kBytes; }

struct DiskLimits {
  static constexpr uint64_t kDefaultBurst = 100;  // the rate's hundredth, so what passes in 10 ms

  std::array<RateLimit, kLimitNames.size()> limits{};  // by LimitKind

  RateLimit& operator[](LimitKind kind) { return limits[static_cast<size_t>(kind)]; }
  const RateLimit& operator[](LimitKind kind) const { return limits[static_cast<size_t>(kind)]; }
  bool any() const {
    return std::any_of(limits.begin(), limits.end(), [](const RateLimit& limit) { return limit.rate != 0; });
  }
  bool operator==(const DiskLimits&) const = default;
};

}  // namespace acrn
