#include "tests/support/filter_fault.h"

#include <algorithm>
#include <utility>

#include "dm/block/filters/filter.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn::test {

void FaultPlan::fail_nth(BlockOp op, unsigned n, int error) {
  MutexLock lock(mutex_);
  rules_.push_back({op, n, 0, 0, error});
}

void FaultPlan::fail_range(BlockOp op, uint64_t begin, uint64_t end, int error) {
  MutexLock lock(mutex_);
  rules_.push_back({op, 0, begin, end, error});
}

void FaultPlan::clear() {
  MutexLock lock(mutex_);
  rules_.clear();
}

void FaultPlan::hold(std::optional<BlockOp> op) {
  MutexLock lock(mutex_);
  holding_ = true;
  held_kind_ = op;
}

void FaultPlan::release() {
  MutexLock lock(mutex_);
  holding_ = false;
  for (Notifier* channel : channels_) channel->notify();
}

void FaultPlan::wait_for_held(unsigned count) {
  MutexLock lock(mutex_);
  while (held_ < count) held_more_.wait(mutex_);
}

unsigned FaultPlan::count(BlockOp op) {
  MutexLock lock(mutex_);
  return counts_[static_cast<size_t>(op)];
}

FaultPlan::Verdict FaultPlan::judge(const BlockRequest& request) {
  MutexLock lock(mutex_);
  counts_[static_cast<size_t>(request.op)]++;
  Verdict verdict;
  for (Rule& rule : rules_) {
    if (rule.op != request.op) continue;
    const bool touches = request.offset < rule.end && rule.begin < request.offset + request.length;
    const bool hit = rule.begin < rule.end ? touches : rule.countdown > 0 && --rule.countdown == 0;
    if (hit && verdict.error == 0) verdict.error = rule.error;
  }
  verdict.held = holding_ && held_kind_.value_or(request.op) == request.op;
  if (verdict.held) {
    held_++;
    held_more_.notify_all();
  }
  return verdict;
}

bool FaultPlan::holding() {
  MutexLock lock(mutex_);
  return holding_;
}

void FaultPlan::forget_held(unsigned count) {
  MutexLock lock(mutex_);
  held_ -= count;
}

void FaultPlan::add(Notifier& notifier) {
  MutexLock lock(mutex_);
  channels_.push_back(&notifier);
}

void FaultPlan::remove(Notifier& notifier) {
  MutexLock lock(mutex_);
  std::erase(channels_, &notifier);
}

class FaultChannel final : public BlockChannel {
 public:
  FaultChannel(std::shared_ptr<FaultPlan> plan, std::unique_ptr<BlockChannel> below)
      : plan_(std::move(plan)), below_(std::move(below)) {}
  ~FaultChannel() override {
    if (notifier_ != nullptr) plan_->remove(*notifier_);
  }
  Result<void> listen(EventLoop& loop) {
    auto notifier = loop.make_notifier([this] { release(); });
    if (!notifier) return notifier.error();
    notifier_ = std::move(notifier).value();
    plan_->add(*notifier_);
    return {};
  }

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) {
      const FaultPlan::Verdict verdict = plan_->judge(request);
      request.error = verdict.error;
      if (!verdict.held) return pass_on(request);
      held_.push(request);
      held_count_++;
    });
  }
  void cancel_waiting(bool may_start) override { below_->cancel_waiting(may_start); }

 private:
  void pass_on(BlockRequest& request) {
    if (request.error != 0) return request.sink->request_done(request);
    BlockRequest* const one = &request;
    below_->submit(std::span(&one, 1));
  }
  void release() {
    if (plan_->holding()) return;
    plan_->forget_held(std::exchange(held_count_, 0));
    for (RequestFifo held = std::exchange(held_, RequestFifo()); BlockRequest* request = held.pop();) {
      BlockSink& sink = *request->sink;
      pass_on(*request);
      sink.batch_done();  // in case that it was done at once, which is outside its owner's submit()
    }
  }

  const std::shared_ptr<FaultPlan> plan_;
  const std::unique_ptr<BlockChannel> below_;
  std::unique_ptr<Notifier> notifier_;
  SubmitQueue incoming_;
  RequestFifo held_;
  unsigned held_count_ = 0;
};

namespace {

class FaultBackend final : public Filter {
 public:
  FaultBackend(std::unique_ptr<BlockBackend> below, std::shared_ptr<FaultPlan> plan)
      : Filter(std::move(below)), plan_(std::move(plan)) {}

  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto below = beneath().open_channel(loop, depth);
    if (!below) return below.error();
    auto channel = std::make_unique<FaultChannel>(plan_, std::move(below).value());
    if (auto listening = channel->listen(loop); !listening) return listening.error();
    return std::unique_ptr<BlockChannel>(std::move(channel));
  }

 private:
  const std::shared_ptr<FaultPlan> plan_;
};

}  // namespace

std::unique_ptr<BlockBackend> make_filter_fault(std::unique_ptr<BlockBackend> below, std::shared_ptr<FaultPlan> plan) {
  return std::make_unique<FaultBackend>(std::move(below), std::move(plan));
}

}  // namespace acrn::test
