#include "dm/block/filters/throttle_group.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace acrn {
namespace {

constexpr double kLongestOwed = 3600;  // seconds, of one request

}  // namespace

ThrottledDisk::ThrottledDisk(std::shared_ptr<ThrottleGroup> group) : group_(std::move(group)) {
  MutexLock lock(group_->mutex_);
  group_->disks_.push_back(this);
}

ThrottledDisk::~ThrottledDisk() {
  MutexLock lock(group_->mutex_);
  std::erase(group_->disks_, this);
}

DiskLimits ThrottleGroup::limits() const {
  MutexLock lock(mutex_);
  return limits_;
}

void ThrottleGroup::set(const DiskLimits& limits, Time now) {
  MutexLock lock(mutex_);
  limits_ = limits;
  for (size_t i = 0; i < buckets_.size(); i++) buckets_[i].set(limits.limits[i], now);
  limited_.store(limits.any(), std::memory_order_relaxed);
}

ThrottleGroup::Costs ThrottleGroup::costs_of(const BlockRequest& request) {
  const bool read = request.op == BlockOp::kRead, write = request.op == BlockOp::kWrite;
  const auto bytes = static_cast<double>(request.length);
  return {1, read ? 1.0 : 0.0, read ? 0.0 : 1.0, read || write ? bytes : 0, read ? bytes : 0, write ? bytes : 0};
}

bool ThrottleGroup::is_waiting(const ThrottledDisk& disk, Time now) const { return now < disk.waits_until_ + kGrace; }

// One that did not wait has no claim from before.
void ThrottleGroup::drop_claim(ThrottledDisk& disk, Time now) const {
  if (!is_waiting(disk, now)) disk.time_ = std::max(disk.time_, time_);
}

// Of the disks that wait, the time of the one that is furthest behind; infinite without one.
double ThrottleGroup::earliest_other(const ThrottledDisk& disk, Time now) const {
  double earliest = std::numeric_limits<double>::infinity();
  for (const ThrottledDisk* other : disks_) {
    if (other != &disk && is_waiting(*other, now)) earliest = std::min(earliest, other->time_);
  }
  return earliest;
}

ThrottleGroup::Duration ThrottleGroup::wait_for(const Costs& costs) const {
  Duration longest{0};
  for (size_t i = 0; i < costs.size(); i++) {
    if (costs[i] != 0) longest = std::max(longest, buckets_[i].wait(costs[i]));
  }
  return longest;
}

double ThrottleGroup::take(ThrottledDisk& disk, const Costs& costs) {
  double share = 0;
  for (size_t i = 0; i < costs.size(); i++) {
    buckets_[i].take(costs[i]);
    share = std::max(share, buckets_[i].share(costs[i]));
  }
  disk.time_ += share;
  return share;
}

bool ThrottleGroup::may_owe(ThrottledDisk& disk, Time& owed_at, Time now) {
  MutexLock lock(mutex_);
  if (now >= disk.owes_since_ + kPause || owed_at >= disk.owes_since_) {  // not the same pause
    drop_claim(disk, now);
    if (now < disk.owes_until_ || disk.owed_to_ > earliest_other(disk, now) + kLead) return false;
    disk.owes_since_ = disk.owes_until_ = now;
  }
  owed_at = now;
  return true;
}

bool ThrottleGroup::owe(ThrottledDisk& disk, const BlockRequest& request) {
  MutexLock lock(mutex_);
  if (disk.owes_until_ - disk.owes_since_ > kLongestDebt) return false;
  const double seconds = std::min(take(disk, costs_of(request)), kLongestOwed);
  disk.owed_to_ = disk.time_;
  disk.owes_until_ += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  return true;
}

size_t ThrottleGroup::admit(ThrottledDisk& disk, RequestFifo& waiting, std::span<BlockRequest*> passing, Time now,
                            Duration& sleep) {
  MutexLock lock(mutex_);
  for (TokenBucket& bucket : buckets_) bucket.refill(now, waited_);
  drop_claim(disk, now);
  const double limit = earliest_other(disk, now) + kLead;
  sleep = Duration::zero();
  size_t count = 0;
  while (count < passing.size() && !waiting.empty()) {
    const Costs costs = costs_of(*waiting.front());
    const Duration wait = disk.time_ <= limit ? wait_for(costs) : kShortestSleep;
    if (wait != Duration::zero()) {
      sleep = std::clamp(wait, kShortestSleep, kLongestSleep);
      break;
    }
    passing[count++] = waiting.pop();
    time_ = disk.time_;
    take(disk, costs);
  }
  waited_ = sleep != Duration::zero() || limit < std::numeric_limits<double>::infinity();
  if (sleep != Duration::zero()) disk.waits_until_ = now + sleep;
  return count;
}

}  // namespace acrn
