// ByteRing: bytes from one thread to another without a lock. One thread at a time pushes, one at a time takes out.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "acrn/base/check.h"

namespace acrn {

class ByteRing {
 public:
  // `capacity`: bytes, a power of two.
  explicit ByteRing(size_t capacity) : bytes_(capacity) { ACRN_CHECK(std::has_single_bit(capacity)); }

  size_t capacity() const { return bytes_.size(); }
  // Any thread. For the pushing side never too small, for the taking side never too big.
  size_t size() const {
    const size_t taken = taken_.load(std::memory_order_acquire);
    return std::min(pushed_.load(std::memory_order_acquire) - taken, capacity());
  }
  size_t room() const { return capacity() - size(); }

  // The pushing side. False: full.
  bool push(uint8_t byte) {
    const size_t at = pushed_.load(std::memory_order_relaxed);
    // The acquire pairs with pop(): the slot has been read before it is written again.
    if (at - taken_.load(std::memory_order_acquire) == capacity()) return false;
    bytes_[at & (capacity() - 1)] = byte;
    pushed_.store(at + 1, std::memory_order_release);  // pairs with the acquire in readable()
    return true;
  }

  // The taking side: what lies there in one piece, and letting go of its first `count` bytes.
  std::span<const uint8_t> readable() const {
    const size_t at = taken_.load(std::memory_order_relaxed);
    const size_t held = pushed_.load(std::memory_order_acquire) - at;
    const size_t index = at & (capacity() - 1);
    return {bytes_.data() + index, std::min(held, capacity() - index)};
  }
  void pop(size_t count) { taken_.store(taken_.load(std::memory_order_relaxed) + count, std::memory_order_release); }
  std::optional<uint8_t> take() {
    const auto held = readable();
    if (held.empty()) return {};
    const uint8_t byte = held.front();
    pop(1);
    return byte;
  }

 private:
  std::vector<uint8_t> bytes_;
  std::atomic<size_t> pushed_{0}, taken_{0};  // bytes since the beginning; they wrap
};

}  // namespace acrn
