// What a benchmark measures: a latency histogram with a resolution of about 3 %, the rounds of one side, their medians.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string>
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
  double microseconds(double quantile) const { return static_cast<double>(percentile(quantile)) / 1e3; }

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

// What was counted in one round, or in one job's part of it.
struct BenchRound {
  LatencyHistogram latency;    // of the requests that succeeded
  LatencyHistogram kick_time;  // how long kicks held up the thread that kicked, where that was asked for
  double seconds = 0;
  double cpu_seconds = 0;  // of the whole process, like the next
  uint64_t context_switches = 0;
  uint64_t kicks = 0, interrupts = 0;
  uint64_t errors = 0;
  std::string first_error;
  uint64_t checked = 0;  // blocks that were read and compared

  double iops() const { return seconds > 0 ? static_cast<double>(latency.count()) / seconds : 0; }
  // Another job's part, at the same time.
  void add(const BenchRound& other) {
    seconds = std::max(seconds, other.seconds);
    add_counts(other);
  }
  // Another round, after this one.
  void append(const BenchRound& other) {
    seconds += other.seconds;
    cpu_seconds += other.cpu_seconds;
    context_switches += other.context_switches;
    add_counts(other);
  }

 private:
  void add_counts(const BenchRound& other) {
    latency.merge(other.latency);
    kick_time.merge(other.kick_time);
    kicks += other.kicks;
    interrupts += other.interrupts;
    errors += other.errors;
    if (first_error.empty()) first_error = other.first_error;
    checked += other.checked;
  }
};

// The rounds of one side.
struct BenchSeries {
  std::vector<double> iops;
  BenchRound total;

  void add(const BenchRound& round) {
    iops.push_back(round.iops());
    total.append(round);
  }
  double median_iops() const { return median(iops); }
  double cpu_seconds_per_io() const { return per_io(total.cpu_seconds); }
  double kicks_per_io() const { return per_io(static_cast<double>(total.kicks)); }
  double interrupts_per_io() const { return per_io(static_cast<double>(total.interrupts)); }
  double context_switches_per_io() const { return per_io(static_cast<double>(total.context_switches)); }
  double microseconds(double quantile) const { return total.latency.microseconds(quantile); }

 private:
  double per_io(double value) const { return value / std::max<double>(1, static_cast<double>(total.latency.count())); }
};

// 0 where there is nothing to compare with.
inline double ratio(double value, double to) { return to > 0 ? value / to : 0; }

}  // namespace acrn
