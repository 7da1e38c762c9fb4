// InflightLog: which chains of a split ring a device has taken and not used yet, in memory that outlives the device's
// process: a device that is started again there carries them out again, and answers none twice. The layout is that of
// vhost-user's in-flight area for split rings. The memory is shared, so whatever stands there is checked.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "acrn/base/address.h"
#include "acrn/base/check.h"

namespace acrn {

class InflightLog {
 public:
  // Bytes for a ring of so many entries, rounded up so that the next ring's begin is aligned.
  static constexpr size_t bytes(uint16_t size) {
    const size_t used = sizeof(Head) + size_t{size} * sizeof(Entry);
    return (used + kAlignment - 1) / kAlignment * kAlignment;
  }

  // `area`: bytes(size) of them, aligned; zeroes, or what an earlier log has left. It outlives the log.
  InflightLog(std::byte* area, uint16_t size) : size_(size) {
    ACRN_CHECK(address_of(area) % kAlignment == 0);
    // SAFETY: aligned, and as long as that; every access is atomic.
    head_ = reinterpret_cast<Head*>(area);
    entries_ = reinterpret_cast<Entry*>(area + sizeof(Head));  // SAFETY: as above
    batch_.reserve(size);
    store(head_->version, kVersion);
    store(head_->entries, size);
  }
  uint16_t size() const { return size_; }

  // Before the ring starts, with what its used.idx says: the chains that were taken and not used, in their order.
  std::vector<uint16_t> recover(uint16_t used_index) {
    batch_.clear();
    // The last batch was shown to the driver, but perhaps not struck off.
    auto left = static_cast<uint16_t>(used_index - load(head_->used_index));
    for (uint16_t head = load(head_->last_used); left != 0 && head < size_; left--) {
      store(entries_[head].in_flight, uint8_t{0});
      head = load(entries_[head].next);
    }
    store(head_->used_index, used_index);
    std::vector<std::pair<uint64_t, uint16_t>> taken;
    for (uint16_t head = 0; head < size_; head++) {
      const uint64_t counter = load(entries_[head].counter);
      counter_ = std::max(counter_, counter);
      if (load(entries_[head].in_flight) != 0) taken.emplace_back(counter, head);
    }
    std::sort(taken.begin(), taken.end());
    std::vector<uint16_t> heads;
    heads.reserve(taken.size());
    for (const auto& [counter, head] : taken) heads.push_back(head);
    return heads;
  }

  // While the ring is stopped: nothing of it is in flight.
  void clear() {
    for (uint16_t head = 0; head < size_; head++) store(entries_[head].in_flight, uint8_t{0});
    batch_.clear();
  }

  // A chain was taken from the ring. These three take a head below size().
  void take(uint16_t head) {
    store(entries_[head].counter, ++counter_);
    store(entries_[head].in_flight, uint8_t{1});
  }
  // Its used entry was written, and
  void use(uint16_t head) {
    if (batch_.size() == batch_.capacity()) return;  // used twice: a broken ring
    store(entries_[head].next, load(head_->last_used));
    store(head_->last_used, head);
    batch_.push_back(head);
  }
  // all of these were shown to the driver.
  void publish(uint16_t used_index) {
    for (const uint16_t head : batch_) store(entries_[head].in_flight, uint8_t{0});
    batch_.clear();
    store(head_->used_index, used_index);
  }

 private:
  static constexpr size_t kAlignment = 64;
  static constexpr uint16_t kVersion = 1;

  struct Head {
    uint64_t features;
    uint16_t version, entries, last_used, used_index;
  };
  struct Entry {
    uint8_t in_flight, unused[5];
    uint16_t next;  // used before it, in its batch
    uint64_t counter;
  };
  static_assert(sizeof(Head) == 16 && sizeof(Entry) == 16);

  // In the order in which they are written: what a dead process leaves is a moment of that.
  template <class T>
  static void store(T& to, T value) {
    __atomic_store_n(&to, value, __ATOMIC_RELEASE);
  }
  template <class T>
  static T load(const T& from) {
    return __atomic_load_n(&from, __ATOMIC_RELAXED);
  }

  const uint16_t size_;
  Head* head_;
  Entry* entries_;
  uint64_t counter_ = 0;
  std::vector<uint16_t> batch_;  // used since the last publish()
};

}  // namespace acrn
