// Guest RAM as a device sees it: an immutable MemoryMap of regions, and GuestSlice, a checked window into one
// of them. A slice gives copies, never a reference: the guest may rewrite its memory at any moment, so code
// copies once, checks the copy and uses the copy. Any thread; the map is shared and never changes.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "acrn/base/address.h"
#include "acrn/base/check.h"
#include "acrn/base/mutex.h"
#include "acrn/mem/gpa.h"

namespace acrn {

// Copies between the host and memory that another thread may be writing. Word-sized relaxed atomics: what is
// read may be any mix of old and new words, which is all that a guest race can produce.
inline void copy_from_shared(void* to, const std::byte* from, size_t length) {
  auto* out = static_cast<std::byte*>(to);
  while (length > 0) {
    if (length >= 8 && address_of(from) % 8 == 0) {
      // SAFETY: `from` is 8-byte aligned and 8 bytes long, tested above.
      const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(from), __ATOMIC_RELAXED);
      std::memcpy(out, &word, 8);
      from += 8, out += 8, length -= 8;
    } else {
      // SAFETY: unsigned char may alias anything.
      *out++ = std::byte{__atomic_load_n(reinterpret_cast<const unsigned char*>(from++), __ATOMIC_RELAXED)};
      length--;
    }
  }
}

inline void copy_to_shared(std::byte* to, const void* from, size_t length) {
  const auto* in = static_cast<const std::byte*>(from);
  while (length > 0) {
    if (length >= 8 && address_of(to) % 8 == 0) {
      uint64_t word;
      std::memcpy(&word, in, 8);
      // SAFETY: `to` is 8-byte aligned and 8 bytes long, tested above.
      __atomic_store_n(reinterpret_cast<uint64_t*>(to), word, __ATOMIC_RELAXED);
      to += 8, in += 8, length -= 8;
    } else {
      // SAFETY: unsigned char may alias anything.
      __atomic_store_n(reinterpret_cast<unsigned char*>(to++), static_cast<unsigned char>(*in++), __ATOMIC_RELAXED);
      length--;
    }
  }
}

// The same for a value that is aligned like a Word and made of whole ones, as descriptors and used elements are.
template <class Word, class T>
T load_words(const std::byte* from) {
  std::array<Word, sizeof(T) / sizeof(Word)> words;
  // SAFETY: the caller has tested alignment and size.
  const auto* in = reinterpret_cast<const Word*>(from);
  for (size_t i = 0; i < words.size(); i++) words[i] = __atomic_load_n(in + i, __ATOMIC_RELAXED);
  return std::bit_cast<T>(words);
}
template <class Word, class T>
void store_words(std::byte* to, const T& value) {
  const auto words = std::bit_cast<std::array<Word, sizeof(T) / sizeof(Word)>>(value);
  // SAFETY: the caller has tested alignment and size.
  auto* out = reinterpret_cast<Word*>(to);
  for (size_t i = 0; i < words.size(); i++) __atomic_store_n(out + i, words[i], __ATOMIC_RELAXED);
}

// A window of size() bytes of guest RAM. Offsets are the caller's own arithmetic, so a bad one is our bug.
class GuestSlice {
 public:
  GuestSlice() = default;
  GuestSlice(std::byte* host, size_t size) : host_(host), size_(size) {}

  size_t size() const { return size_; }
  GuestSlice part(size_t offset, size_t length) const { return {at(offset, length), length}; }

  template <class T>
  T load(size_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::byte* from = at(offset, sizeof(T));
    if constexpr (sizeof(T) % 8 == 0) {
      if (address_of(from) % 8 == 0) [[likely]]
        return load_words<uint64_t, T>(from);
    }
    T value;
    copy_from_shared(&value, from, sizeof(T));
    return value;
  }
  template <class T>
  void store(size_t offset, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::byte* to = at(offset, sizeof(T));
    if constexpr (sizeof(T) % 4 == 0) {
      if (address_of(to) % 4 == 0) [[likely]]
        return store_words<uint32_t>(to, value);
    }
    copy_to_shared(to, &value, sizeof(T));
  }
  void copy_out(size_t offset, void* to, size_t length) const { copy_from_shared(to, at(offset, length), length); }
  void copy_in(size_t offset, const void* from, size_t length) const {
    copy_to_shared(at(offset, length), from, length);
  }

  // A naturally aligned ring index, with the ordering that its user names.
  uint16_t load16(size_t offset, int order) const {
    const uint16_t raw = __atomic_load_n(word16(offset), order);
    return from_little_endian(raw);
  }
  void store16(size_t offset, uint16_t value, int order) const {
    __atomic_store_n(word16(offset), from_little_endian(value), order);
  }

  // The payload as an I/O vector: for system calls that move data which nothing of ours depends on.
  iovec io_vector() const { return {host_, size_}; }

 private:
  std::byte* at(size_t offset, size_t length) const {
    ACRN_CHECK(offset <= size_ && length <= size_ - offset);
    return host_ + offset;
  }
  uint16_t* word16(size_t offset) const {
    std::byte* bytes = at(offset, 2);
    ACRN_CHECK(address_of(bytes) % 2 == 0);
    // SAFETY: in range and aligned, tested above.
    return reinterpret_cast<uint16_t*>(bytes);
  }
  static uint16_t from_little_endian(uint16_t raw) {
    if constexpr (std::endian::native == std::endian::little) return raw;
    return static_cast<uint16_t>((raw >> 8) | (raw << 8));
  }

  std::byte* host_ = nullptr;
  size_t size_ = 0;
};

struct MemoryRegion {
  Gpa base;
  uint64_t size;    // bytes
  std::byte* host;  // mapped for as long as `owner` lives
  std::shared_ptr<const void> owner;
  // What `host` maps, if another process may be given it: a file that nobody can shorten, open as long as the mapping
  // is there. -1: none.
  int file = -1;
  uint64_t file_offset = 0;  // bytes
};

struct GpaRange {
  Gpa base;
  uint64_t size;  // bytes
};

class MemoryMap {
 public:
  // Regions may come in any order and must not overlap. `unreachable`: RAM that the guest has and we cannot map.
  explicit MemoryMap(std::vector<MemoryRegion> regions, std::vector<GpaRange> unreachable = {})
      : regions_(std::move(regions)), unreachable_(std::move(unreachable)) {
    std::sort(regions_.begin(), regions_.end(),
              [](const MemoryRegion& a, const MemoryRegion& b) { return raw(a.base) < raw(b.base); });
  }

  // The bytes [gpa, gpa + length), if they lie in one region. Length 0 has no slice.
  std::optional<GuestSlice> slice(Gpa gpa, uint64_t length) const {
    const auto start = start_of(gpa, length);
    return start && start->size() == length ? start : std::nullopt;
  }
  // Of those bytes the first ones, as many as lie in one region: the rest may follow in the next.
  std::optional<GuestSlice> start_of(Gpa gpa, uint64_t length) const {
    for (const MemoryRegion& region : regions_) {
      if (raw(gpa) < raw(region.base)) return std::nullopt;
      const uint64_t offset = raw(gpa) - raw(region.base);
      if (offset >= region.size) continue;
      if (length == 0) return std::nullopt;
      return GuestSlice(region.host + offset, std::min(length, region.size - offset));
    }
    return std::nullopt;
  }

  // Whether all the bytes [gpa, gpa + length) are in regions, which may be several; false for none.
  bool holds(Gpa gpa, uint64_t length) const {
    if (length == 0 || raw(gpa) + (length - 1) < raw(gpa)) return false;
    for (uint64_t done = 0; done < length;) {
      const auto part = start_of(Gpa{raw(gpa) + done}, length - done);
      if (!part) return false;
      done += part->size();
    }
    return true;
  }
  // Copies all of them; holds() is true.
  void copy_out(Gpa gpa, void* to, size_t length) const {
    for (size_t done = 0; done < length;) {
      const auto part = start_of(Gpa{raw(gpa) + done}, length - done);
      ACRN_CHECK(part.has_value());
      part->copy_out(0, static_cast<std::byte*>(to) + done, part->size());
      done += part->size();
    }
  }
  // Whether some of the bytes [gpa, gpa + length) are RAM that we cannot reach.
  bool is_unreachable(Gpa gpa, uint64_t length) const {
    return std::any_of(unreachable_.begin(), unreachable_.end(), [&](const GpaRange& range) {
      return raw(gpa) >= raw(range.base) ? raw(gpa) - raw(range.base) < range.size
                                         : raw(range.base) - raw(gpa) < length;
    });
  }

  std::span<const MemoryRegion> regions() const { return regions_; }

 private:
  std::vector<MemoryRegion> regions_;
  std::vector<GpaRange> unreachable_;
};

// The current map. Before it is replaced, the queues are stopped; a queue takes its snapshot when it starts.
class GuestMemory {
 public:
  explicit GuestMemory(std::shared_ptr<const MemoryMap> map) : map_(std::move(map)) {}

  std::shared_ptr<const MemoryMap> map() const {
    MutexLock lock(mutex_);
    return map_;
  }
  void replace(std::shared_ptr<const MemoryMap> map) {
    MutexLock lock(mutex_);
    map_.swap(map);
  }

 private:
  mutable Mutex mutex_;  // leaf
  std::shared_ptr<const MemoryMap> map_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
