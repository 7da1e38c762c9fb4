#include "dm/block/filters/throttle.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/block/filters/filter.h"
#include "dm/block/request_list.h"

namespace acrn {
namespace {

// At a time, of what is owed. A request without data counts, too.
constexpr uint64_t kMostOwed = 1 << 20, kLeastOwed = 4 << 10;  // bytes

// Passes the requests themselves on; only cancelled ones may end here.
class ThrottleChannel final : public BlockChannel {
 public:
  ThrottleChannel(std::unique_ptr<BlockChannel> below, ThrottledDisk& disk, EventLoop& loop)
      : below_(std::move(below)), disk_(disk), loop_(loop) {}

  void submit(std::span<BlockRequest* const> batch) override {
    if (waiting_.empty() && !disk_.group().limited()) [[likely]]
      return below_->submit(batch);
    if (waiting_.empty()) owing_ = false;
    for (BlockRequest* request : batch) waiting_.push(*request);
    waiting_count_ += batch.size();
    if (owing_) return;    // its timer runs
    if (passing_) return;  // a sink submits more, which the outer call finds
    pass_on(nullptr);
    disk_.count_delayed(std::min(batch.size(), waiting_count_));
  }

  // A guest that a VMM pauses, or whose server is started again, has done nothing wrong, and its requests are carried
  // out, and owed.
  void cancel_waiting(bool may_start) override {
    owing_ = may_start && disk_.group().may_owe(disk_, owed_at_, std::chrono::steady_clock::now());
    owing_ ? pass_owed(nullptr) : cancel(nullptr);
    below_->cancel_waiting(may_start);
  }

 private:
  // What may pass now; a timer looks again at the rest. `sinks`, if any, are told of a group that has ended.
  void pass_on(SinkGroup* sinks) {
    passing_ = true;
    ThrottleGroup::Duration sleep{0};
    while (!waiting_.empty() && sleep == ThrottleGroup::Duration::zero()) {
      std::array<BlockRequest*, 32> group;
      const size_t count = disk_.group().admit(disk_, waiting_, group, std::chrono::steady_clock::now(), sleep);
      waiting_count_ -= count;
      for (BlockRequest* request : std::span(group).first(count)) {
        if (sinks != nullptr) sinks->note(*request->sink);
      }
      if (count != 0) below_->submit(std::span(group).first(count));
    }
    passing_ = false;
    if (!waiting_.empty()) look_again(sleep);
  }

  void look_again(ThrottleGroup::Duration sleep) {
    if (timer_ == nullptr) {
      auto timer = loop_.make_timer([this] {
        SinkGroup sinks;
        owing_ && !waiting_.empty() ? pass_owed(&sinks) : pass_on(&sinks);
        sinks.end();
      });
      if (!timer) return give_up(timer.error());
      timer_ = std::move(timer).value();
    }
    timer_->start_once(static_cast<uint64_t>(sleep.count()));
  }

  // So much without a limit; the timer goes on, that others have their turns.
  void pass_owed(SinkGroup* sinks) {
    for (uint64_t bytes = 0; bytes < kMostOwed && !waiting_.empty();) {
      if (!disk_.group().owe(disk_, *waiting_.front())) return cancel(sinks);
      BlockRequest* const request = take_waiting();
      bytes += std::max(request->length, kLeastOwed);
      if (sinks != nullptr) sinks->note(*request->sink);
      below_->submit({&request, 1});
    }
    if (!waiting_.empty()) look_again(std::chrono::nanoseconds(1));
  }

  void cancel(SinkGroup* sinks) {
    while (BlockRequest* const request = take_waiting()) {
      request->error = ECANCELED;
      if (sinks != nullptr) sinks->note(*request->sink);
      request->sink->request_done(*request);
    }
  }

  BlockRequest* take_waiting() {
    BlockRequest* const request = waiting_.pop();
    if (request != nullptr) waiting_count_--;
    return request;
  }

  // A limit that cannot be held must not become a request that is never done.
  void give_up(const Error& error) {
    log(LogLevel::kWarning, concat(error.message, "; requests pass without a limit"));
    while (BlockRequest* request = take_waiting()) below_->submit({&request, 1});
  }

  const std::unique_ptr<BlockChannel> below_;
  ThrottledDisk& disk_;
  EventLoop& loop_;
  RequestFifo waiting_;
  size_t waiting_count_ = 0;
  std::unique_ptr<Timer> timer_;  // since the first one had to wait
  bool passing_ = false;
  bool owing_ = false;  // what waits has no limit
  ThrottleGroup::Time owed_at_{};
};

class FilterThrottle final : public Filter {
 public:
  FilterThrottle(std::unique_ptr<BlockBackend> below, ThrottledDisk& disk) : Filter(std::move(below)), disk_(disk) {}

  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto channel = beneath().open_channel(loop, depth);
    if (!channel) return channel.error();
    return std::unique_ptr<BlockChannel>(std::make_unique<ThrottleChannel>(std::move(channel).value(), disk_, loop));
  }

 private:
  ThrottledDisk& disk_;
};

}  // namespace

std::unique_ptr<BlockBackend> make_filter_throttle(std::unique_ptr<BlockBackend> below, ThrottledDisk& disk) {
  return std::make_unique<FilterThrottle>(std::move(below), disk);
}

}  // namespace acrn
