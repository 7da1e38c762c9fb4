// ThrottleGroup: the limits that one disk has, or several share, and whose turn it is. ThrottledDisk: a disk's part in
// it. Any thread; the group's lock is a leaf, taken only while there is a limit.
//
// Disks that wait share what comes by start-time fair queueing: each has its own time, which goes on by the part of a
// second's worth that it was given, and the one that is behind goes first.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/block/blockif.h"
#include "acrn/block/disk_limits.h"
#include "dm/block/filters/token_bucket.h"
#include "dm/block/request_list.h"

namespace acrn {

class ThrottleGroup;

class ThrottledDisk {
 public:
  explicit ThrottledDisk(std::shared_ptr<ThrottleGroup> group);
  ~ThrottledDisk();
  ThrottledDisk(const ThrottledDisk&) = delete;
  ThrottledDisk& operator=(const ThrottledDisk&) = delete;

  ThrottleGroup& group() const { return *group_; }
  // Requests that had to wait, since the start. Any thread.
  uint64_t delayed() const { return delayed_.load(std::memory_order_relaxed); }
  void count_delayed(uint64_t requests) { delayed_.fetch_add(requests, std::memory_order_relaxed); }

 private:
  friend class ThrottleGroup;

  const std::shared_ptr<ThrottleGroup> group_;
  std::atomic<uint64_t> delayed_{0};
  // Guarded by the group's lock.
  double time_ = 0;                // seconds' worth that it was given
  double owed_to_ = 0;             // the same, when it had been given what it owed last
  TokenBucket::Time waits_until_;  // when it looks again; long ago: it does not wait
  TokenBucket::Time owes_since_, owes_until_;
};

class ThrottleGroup {
 public:
  using Time = TokenBucket::Time;
  using Duration = TokenBucket::Duration;

  explicit ThrottleGroup(const DiskLimits& limits, Time now = std::chrono::steady_clock::now()) { set(limits, now); }

  bool limited() const { return limited_.load(std::memory_order_relaxed); }
  DiskLimits limits() const;
  // Who waits finds them within kLongestSleep.
  void set(const DiskLimits& limits, Time now = std::chrono::steady_clock::now());

  // Takes from `waiting` what may pass now, into `passing` from its start, and returns how many. With some left,
  // `sleep` is how long until there may be more; else 0.
  size_t admit(ThrottledDisk& disk, RequestFifo& waiting, std::span<BlockRequest*> passing, Time now, Duration& sleep);

  // Whether what waits of one of a disk's queues may pass without a wait, and be owed. `owed_at`: when that queue did
  // so last, which is noted. All queues may within kPause, as they stop one after the other; then none may before the
  // time has passed that this was worth, and the others of the group that wait have come as far as it was after that:
  // a guest can reset its device again and again. To be ahead of them for the size of one's requests is no debt.
  bool may_owe(ThrottledDisk& disk, Time& owed_at, Time now);
  // Then for each. False: it must not pass, since more than kLongestDebt is owed.
  bool owe(ThrottledDisk& disk, const BlockRequest& request);
  static constexpr Duration kPause = std::chrono::seconds(1), kLongestDebt = std::chrono::seconds(60);

  // Sleeps are no shorter, as what comes meanwhile is saved up, and no longer, as limits may change.
  static constexpr Duration kShortestSleep = std::chrono::microseconds(200);
  static constexpr Duration kLongestSleep = std::chrono::milliseconds(100);

 private:
  friend class ThrottledDisk;

  // A disk may be so far ahead of another one that waits: what two that wait for the same get at a time.
  static constexpr double kLead = 0.001;  // seconds
  // A disk that does not look again when it said so is not waited for.
  static constexpr Duration kGrace = std::chrono::milliseconds(5);

  using Costs = std::array<double, kLimitNames.size()>;  // by LimitKind
  static Costs costs_of(const BlockRequest& request);
  bool is_waiting(const ThrottledDisk& disk, Time now) const ACRN_REQUIRES(mutex_);
  void drop_claim(ThrottledDisk& disk, Time now) const ACRN_REQUIRES(mutex_);
  double earliest_other(const ThrottledDisk& disk, Time now) const ACRN_REQUIRES(mutex_);
  Duration wait_for(const Costs& costs) const ACRN_REQUIRES(mutex_);
  // Returns for how many seconds that is the whole rate.
  double take(ThrottledDisk& disk, const Costs& costs) ACRN_REQUIRES(mutex_);

  mutable Mutex mutex_;  // leaf
  DiskLimits limits_ ACRN_GUARDED_BY(mutex_);
  std::array<TokenBucket, kLimitNames.size()> buckets_ ACRN_GUARDED_BY(mutex_);
  bool waited_ ACRN_GUARDED_BY(mutex_) = false;  // somebody, at the last admit()
  double time_ ACRN_GUARDED_BY(mutex_) = 0;      // of the disk that was served last
  std::vector<ThrottledDisk*> disks_ ACRN_GUARDED_BY(mutex_);
  std::atomic<bool> limited_{false};
};

// The groups of a process, by name. The composing thread.
class ThrottleGroups {
 public:
  // The group of that name; one of its own for a disk without a name. Limits, if any, hold for the group from now on.
  std::shared_ptr<ThrottleGroup> find(const std::string& name, const DiskLimits& limits) {
    if (name.empty()) return std::make_shared<ThrottleGroup>(limits);
    std::shared_ptr<ThrottleGroup>& group = groups_[name];
    if (group == nullptr) group = std::make_shared<ThrottleGroup>(DiskLimits{});
    if (limits.any()) group->set(limits);
    return group;
  }

 private:
  std::map<std::string, std::shared_ptr<ThrottleGroup>> groups_;
};

}  // namespace acrn
