// Fingerprint: which disk a state is, by all of its sectors that differ from the base. Disks with equal numbers are
// equal; equal disks nearly always have equal numbers, unless zeroes were written in another way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <utility>

namespace acrn {

class Fingerprint {
 public:
  Fingerprint() = default;
  // Of a disk that has what `below` has, and more. That one outlives it, and does not change.
  static Fingerprint above(const Fingerprint& below) {
    Fingerprint print;
    print.below_ = &below;
    print.sum_ = below.sum_;
    return print;
  }

  // Whole sectors.
  void write(uint64_t offset, std::span<const std::byte> data) {
    for (size_t at = 0; at < data.size(); at += kSector) set((offset + at) / kSector, data.subspan(at, kSector));
  }
  // Zeroes, of any length: sectors that are known become zeroes, the others do so as one.
  void clear(uint64_t offset, uint64_t length) {
    const uint64_t begin = offset / kSector, end = begin + length / kSector;
    if (below_ != nullptr) {
      for (auto i = below_->sectors_.lower_bound(begin); i != below_->sectors_.end() && i->first < end; ++i) {
        set(i->first, kZeroes);
      }
    }
    for (auto i = sectors_.lower_bound(begin); i != sectors_.end() && i->first < end; ++i) set(i->first, kZeroes);
    const bool known = below_ != nullptr && below_->cleared_.count({begin, end}) != 0;
    if (!known && cleared_.insert({begin, end}).second) sum_ ^= mix(mix(begin) ^ ~end);
  }
  uint64_t value() const { return sum_; }

 private:
  static constexpr size_t kSector = 512;
  static constexpr std::byte kZeroes[kSector]{};

  void set(uint64_t sector, std::span<const std::byte> data) {
    const std::string_view bytes(reinterpret_cast<const char*>(data.data()), data.size());  // SAFETY: bytes may be read
    const uint64_t now = mix(std::hash<std::string_view>()(bytes) ^ mix(sector));
    uint64_t& known = sectors_.try_emplace(sector, below_ != nullptr ? below_->known(sector) : 0).first->second;
    sum_ ^= known ^ now;
    known = now;
  }

  uint64_t known(uint64_t sector) const {
    const auto found = sectors_.find(sector);
    return found != sectors_.end() ? found->second : 0;
  }

  static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  const Fingerprint* below_ = nullptr;
  std::map<uint64_t, uint64_t> sectors_;
  std::set<std::pair<uint64_t, uint64_t>> cleared_;
  uint64_t sum_ = 0;
};

}  // namespace acrn
