// DiskMap: which bytes of a disk are known to be zeroes, without reading them.
#pragma once

#include <cstdint>

namespace acrn {

// One thread.
class DiskMap {
 public:
  struct Extent {
    uint64_t bytes = 0;   // at least one
    bool zeroes = false;  // else they may be anything
  };
  static constexpr Extent kUnknown{uint64_t{1} << 62, false};
  virtual ~DiskMap() = default;
  // What is known of the bytes from `offset` on. Waits for a server, but not for long.
  virtual Extent extent_at(uint64_t offset) = 0;
};

}  // namespace acrn
