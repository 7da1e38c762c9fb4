// TraceRing: records on their way from one writer, a queue's loop, to another process, in memory that both share. The
// writer never waits: what finds no room is counted, and a later record says how many there were.
// DeviceTrace: the rings of a device, and whether it is traced now.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "acrn/base/address.h"
#include "acrn/base/check.h"
#include "acrn/base/mutex.h"
#include "acrn/base/round.h"
#include "acrn/trace/trace_format.h"

namespace acrn {

// Counts of bytes since the beginning, each written by one side alone.
struct TraceCursors {
  alignas(64) std::atomic<uint64_t> written{0};
  alignas(64) std::atomic<uint64_t> read{0};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

class TraceRing {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr size_t kLargestRecord = 32 << 10;  // bytes: a chain of 1024 descriptors is half of that

  // `data`: a power of two, at least two of the largest records. Both outlive the ring.
  TraceRing(TraceCursors& cursors, std::span<std::byte> data) : cursors_(cursors), data_(data) {
    ACRN_CHECK((data.size() & (data.size() - 1)) == 0 && data.size() >= 2 * kLargestRecord);
  }

  static uint64_t nanoseconds(Time time) {
    return static_cast<uint64_t>(std::chrono::nanoseconds(time.time_since_epoch()).count());
  }

  // Writes a record, whose size it completes, with `parts` behind it, which are filled up to the alignment. Returns
  // where the record stands until commit(); null: it is lost.
  template <class... Parts>
  TraceRecord* write(TraceRecord record, const Parts&... parts) {
    const size_t bytes = round_up(sizeof(record) + (size_of(parts) + ... + 0), kTraceAlignment);
    if (lost_ != 0 && !write_lost()) [[unlikely]] {
      lost_++;
      return nullptr;
    }
    std::byte* to = reserve(bytes);
    if (to == nullptr) [[unlikely]] {
      lost_++;
      return nullptr;
    }
    record.bytes = static_cast<uint16_t>(bytes);
    std::byte* const begin = to;
    to = copy(to, record);
    ((to = copy(to, parts)), ...);
    std::memset(to, 0, static_cast<size_t>(begin + bytes - to));
    // SAFETY: a record's place is aligned for it, and it is made of bytes.
    return reinterpret_cast<TraceRecord*>(begin);
  }
  // Lets the reader see them.
  void commit() { cursors_.written.store(head_, std::memory_order_release); }

 private:
  template <class Part>
  static size_t size_of(const Part&) {
    return sizeof(Part);
  }
  template <class Item>
  static size_t size_of(const std::span<const Item>& items) {
    return items.size_bytes();
  }
  template <class Part>
  static std::byte* copy(std::byte* to, const Part& part) {
    std::memcpy(to, &part, sizeof(part));
    return to + sizeof(part);
  }
  template <class Item>
  static std::byte* copy(std::byte* to, const std::span<const Item>& items) {
    if (!items.empty()) std::memcpy(to, items.data(), items.size_bytes());
    return to + items.size_bytes();
  }

  // In one piece: what is left at the end of the ring is padded.
  std::byte* reserve(size_t bytes) {
    const size_t at = head_ & (data_.size() - 1), left = data_.size() - at;
    const size_t padding = left < bytes ? left : 0;
    if (padding + bytes > room_) {
      // Acquire pairs with the reader's release: it has copied what stood there.
      room_ = data_.size() - (head_ - cursors_.read.load(std::memory_order_acquire));
      if (padding + bytes > room_) return nullptr;
    }
    room_ -= padding + bytes;
    if (padding != 0) [[unlikely]]
      pad(at, padding);
    std::byte* const to = &data_[head_ & (data_.size() - 1)];
    head_ += bytes;
    return to;
  }
  void pad(size_t at, size_t bytes) {
    TraceRecord record{};
    record.bytes = static_cast<uint16_t>(bytes);
    record.event = static_cast<uint8_t>(TraceEvent::kPadding);
    copy(&data_[at], record);
    head_ += bytes;
  }
  bool write_lost() {
    std::byte* const to = reserve(sizeof(TraceRecord) + sizeof(TraceValue));
    if (to == nullptr) return false;
    TraceRecord record{};
    record.bytes = sizeof(TraceRecord) + sizeof(TraceValue);
    record.event = static_cast<uint8_t>(TraceEvent::kLost);
    record.time = nanoseconds(std::chrono::steady_clock::now());
    copy(copy(to, record), TraceValue{lost_, 0});
    lost_ = 0;
    return true;
  }

  TraceCursors& cursors_;
  const std::span<std::byte> data_;
  uint64_t head_ = 0;  // of what is written; committed or not
  uint64_t room_ = 0;  // at least
  uint64_t lost_ = 0;
};

class DeviceTrace {
 public:
  DeviceTrace(const std::atomic<uint32_t>& on, std::vector<TraceRing> queues, TraceRing device)
      : on_(on), queues_(std::move(queues)), device_(device) {}

  // Relaxed: when it takes effect does not matter.
  bool on() const { return on_.load(std::memory_order_relaxed) != 0; }
  // For the queue's loop.
  TraceRing& queue(unsigned index) { return queues_[index]; }
  // Of the device. Any thread.
  template <class... Parts>
  void write(TraceEvent event, uint8_t detail, uint16_t head, uint16_t number, const Parts&... parts) {
    if (!on()) return;
    MutexLock lock(mutex_);
    TraceRecord record{};
    record.event = static_cast<uint8_t>(event);
    record.detail = detail;
    record.head = head;
    record.number = number;
    record.time = TraceRing::nanoseconds(std::chrono::steady_clock::now());
    device_.write(record, parts...);
    device_.commit();
  }

 private:
  const std::atomic<uint32_t>& on_;
  std::vector<TraceRing> queues_;
  Mutex mutex_;  // leaf
  TraceRing device_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
