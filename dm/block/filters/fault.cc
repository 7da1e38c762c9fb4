#include "dm/block/filters/fault.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/base/mutex.h"
#include "dm/block/filters/filter.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kSector = 512;  // bytes

// The rules of one disk, and what of them is used up.
class Faults {
 public:
  explicit Faults(std::span<const FaultRule> rules) {
    for (const FaultRule& rule : rules) states_.push_back({rule, rule.seed});
  }

  // What becomes of a request; null: nothing. Any thread.
  const FaultRule* judge(const BlockRequest& request) {
    MutexLock lock(mutex_);
    for (State& state : states_) {
      if (hits(state, request)) return &state.rule;
    }
    return nullptr;
  }

 private:
  struct State {
    FaultRule rule;
    uint64_t random;
    uint64_t seen = 0, hit = 0;
  };

  static bool hits(State& state, const BlockRequest& request) {
    const FaultRule& rule = state.rule;
    if (rule.op.value_or(request.op) != request.op) return false;
    const uint64_t first = request.offset / kSector, end = (request.offset + request.length + kSector - 1) / kSector;
    if (request.op != BlockOp::kFlush && (first > rule.last || end <= rule.first)) return false;
    if (state.seen++ < rule.skip || state.hit >= rule.times.value_or(UINT64_MAX)) return false;
    if (rule.chance < 100 && 100 * next_random(state.random) >= rule.chance) return false;
    state.hit++;
    return true;
  }

  // 0 to 1: the same for a seed on each host (splitmix64).
  static double next_random(uint64_t& state) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return static_cast<double>((z ^ z >> 31) >> 11) / static_cast<double>(uint64_t{1} << 53);
  }

  Mutex mutex_;  // leaf
  std::vector<State> states_ ACRN_GUARDED_BY(mutex_);
};

class FaultChannel final : public BlockChannel, private BlockSink {
 public:
  FaultChannel(std::unique_ptr<BlockChannel> below, Faults& faults, EventLoop& loop)
      : below_(std::move(below)), faults_(faults), loop_(loop) {}

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) {
      const FaultRule* const rule = faults_.judge(request);
      if (rule == nullptr) return pass(request);
      switch (rule->fault) {
        case FaultRule::Fault::kError: return fail(request, rule->error);
        case FaultRule::Fault::kShort: return shorten(request, rule->error);
        case FaultRule::Fault::kDelay: return delay(request, std::chrono::microseconds(rule->delay));
      }
    });
  }

  void cancel_waiting(bool may_start) override {
    below_->cancel_waiting(may_start);
    for (auto& [due, request] : std::exchange(delayed_, {})) fail(*request, ECANCELED);
  }

 private:
  // Half of a request, which stands for it below.
  struct Half : BlockRequest {
    BlockRequest* whole = nullptr;
    int error_of_whole = 0;
    std::vector<iovec> vectors;
  };

  void pass(BlockRequest& request) {
    BlockRequest* const one = &request;
    below_->submit({&one, 1});
  }

  static void fail(BlockRequest& request, int error) {
    request.error = error;
    request.sink->request_done(request);
  }

  void shorten(BlockRequest& request, int error) {
    const uint64_t length = request.length / 2 / kSector * kSector;
    if (length == 0) return fail(request, error);
    auto half = std::make_unique<Half>();
    static_cast<BlockRequest&>(*half) = request;
    half->whole = &request;
    half->error_of_whole = error;
    half->sink = this;
    half->length = length;
    uint64_t left = request.iov.empty() ? 0 : length;
    for (const iovec& vector : request.iov) {
      if (left == 0) break;
      half->vectors.push_back({vector.iov_base, std::min<size_t>(vector.iov_len, left)});
      left -= half->vectors.back().iov_len;
    }
    half->iov = half->vectors;
    pass(*half.release());
  }

  void delay(BlockRequest& request, Clock::duration time) {
    delayed_.emplace(Clock::now() + time, &request);
    look_again();
  }

  void look_again() {
    if (delayed_.empty()) return;
    if (timer_ == nullptr) {
      auto timer = loop_.make_timer([this] { on_timer(); });
      if (!timer) return give_up(timer.error());
      timer_ = std::move(timer).value();
    }
    const auto left = std::max<Clock::duration>(delayed_.begin()->first - Clock::now(), std::chrono::nanoseconds(1));
    timer_->start_once(static_cast<uint64_t>(std::chrono::nanoseconds(left).count()));
  }

  void on_timer() {
    SinkGroup sinks;
    const auto now = Clock::now();
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      BlockRequest& request = *delayed_.begin()->second;
      delayed_.erase(delayed_.begin());
      sinks.note(*request.sink);
      pass(request);
    }
    sinks.end();
    look_again();
  }

  void give_up(const Error& error) {
    log(LogLevel::kWarning, concat(error.message, "; requests pass without a delay"));
    for (auto& [due, request] : std::exchange(delayed_, {})) pass(*request);
  }

  void request_done(BlockRequest& request) override {
    const std::unique_ptr<Half> half(static_cast<Half*>(&request));  // the sink of halves alone
    half->whole->error = half->error != 0 ? half->error : half->error_of_whole;
    incoming_.running() ? half->whole->sink->request_done(*half->whole) : halves_.done(*half->whole);
  }
  void batch_done() override { halves_.end(); }

  const std::unique_ptr<BlockChannel> below_;
  Faults& faults_;
  EventLoop& loop_;
  SubmitQueue incoming_;
  std::multimap<Clock::time_point, BlockRequest*> delayed_;  // by when they are due
  std::unique_ptr<Timer> timer_;                             // since the first one was delayed
  SinkGroup halves_;
};

class FilterFault final : public Filter {
 public:
  FilterFault(std::unique_ptr<BlockBackend> below, std::span<const FaultRule> rules)
      : Filter(std::move(below)), faults_(rules) {}

  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto channel = beneath().open_channel(loop, depth);
    if (!channel) return channel.error();
    return std::unique_ptr<BlockChannel>(std::make_unique<FaultChannel>(std::move(channel).value(), faults_, loop));
  }

 private:
  Faults faults_;
};

}  // namespace

std::unique_ptr<BlockBackend> make_filter_fault(std::unique_ptr<BlockBackend> below, std::span<const FaultRule> rules) {
  return std::make_unique<FilterFault>(std::move(below), rules);
}

}  // namespace acrn
