// What a benchmark run measures: a latency histogram with a resolution of about 3 %, and medians.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace acrn {

class LatencyHistogram {
 public:
  void add(uint64_t nanoseconds) {
    buckets_[bucket(nanoseconds)]++;
    count_++;
  }
  void merge(const LatencyHistogram& other) {
    for (size_t i = 0; i < buckets_.size(); i++) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
  }
  uint64_t count() const { return count_; }
  // Nanoseconds that the fraction `quantile` of all requests took at most.
  uint64_t percentile(double quantile) const {
    const auto rank = static_cast<uint64_t>(quantile * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); i++) {
      seen += buckets_[i];
      if (seen > rank) return upper_edge(i);
    }
    return 0;
  }

 private:
  // 32 buckets for each power of two.
  static constexpr unsigned kSteps = 32, kStepBits = 5;
  static size_t bucket(uint64_t value) {
    if (value < kSteps) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kStepBits - 1;
    return std::min<size_t>((shift + 1) * kSteps + ((value >> shift) & (kSteps - 1)), kBuckets - 1);
  }
  static uint64_t upper_edge(size_t index) {
    if (index < kSteps) return index;
    const size_t shift = index / kSteps - 1;
    return ((kSteps + index % kSteps + 1) << shift) - 1;
  }
  static constexpr size_t kBuckets = 40 * kSteps;
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
};

inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace acrn
