// ReadOrder: tells a read that goes on where another one has ended from one that is anywhere. Several may be followed
// at a time. No clock, no lock.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace acrn {

class ReadOrder {
 public:
  // Of the next read, in bytes.
  bool goes_on(uint64_t offset, uint64_t length) {
    const auto found = std::find(ends_.begin(), ends_.end(), offset);
    const bool known = found != ends_.end();
    (known ? *found : ends_[next_++ % ends_.size()]) = offset + length;
    return known;
  }

 private:
  std::array<uint64_t, 4> ends_{};
  size_t next_ = 0;  // the place of the next one that does not go on
};

}  // namespace acrn
