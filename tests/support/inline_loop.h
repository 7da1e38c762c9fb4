// InlineLoop: an EventLoop without a thread, for fuzzers and for tests that want one step at a time. It does what a
// loop of the product does, on the caller when it is pumped: it polls before it sleeps, and when it sleeps it can be
// borrowed, and looks at nothing before it is notified or a timer expires. Its time is virtual. Posted tasks run at
// once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "acrn/event/event_loop.h"

namespace acrn::test {

class InlineLoop final : public EventLoop {
 public:
  static constexpr unsigned kMostSteps = 1000;

  bool is_current() const override { return running_ || lent_; }
  void enqueue(LoopTask& task) override {
    const bool outer = std::exchange(running_, true);
    awake_ = true;
    task.run();
    running_ = outer;
  }
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) override {
    return std::unique_ptr<Notifier>(std::make_unique<InlineNotifier>(*this, std::move(handler)));
  }
  Result<std::unique_ptr<Timer>> make_timer(std::function<void()> handler) override {
    return std::unique_ptr<Timer>(std::make_unique<InlineTimer>(*this, std::move(handler)));
  }
  bool add_poller(Poller& poller) override {
    pollers_.push_back(&poller);
    return true;
  }
  void remove_poller(Poller& poller) override { std::erase(pollers_, &poller); }
  std::unique_ptr<FdWatch> watch(int, uint32_t events, std::function<void(uint32_t)> handler) override {
    return std::make_unique<InlineWatch>(*this, [events, handler = std::move(handler)] { handler(events); });
  }
  // As if each eventfd that is watched were signalled.
  void signal_events() {
    for (size_t i = 0; i < watches_.size(); i++) watches_[i]->run();
  }
  LoopLease try_borrow() override {
    if (awake_ || std::exchange(lent_, true)) return {};
    return lease();
  }

  uint64_t now() const { return now_; }  // nanoseconds
  // Does what there is to do until the loop sleeps, or `most` steps, after which it is awake. A step is one run of a
  // handler, or a poll that found work.
  void pump(unsigned most = kMostSteps) { advance(0, most); }
  // The same, while so much time passes. What is due after the last step is late, as it is on a busy host.
  void advance(uint64_t nanoseconds, unsigned most = kMostSteps) {
    const uint64_t end = now_ + nanoseconds;
    running_ = true;
    for (unsigned steps = 0; steps < most; steps++) {
      if (!awake_ && !expire_next(end)) break;
      awake_ = step();
    }
    running_ = false;
    now_ = end;
  }

 private:
  class InlineNotifier final : public Notifier {
   public:
    InlineNotifier(InlineLoop& loop, std::function<void()> handler) : loop_(loop), handler_(std::move(handler)) {}
    ~InlineNotifier() override { std::erase(loop_.notified_, this); }
    void notify() override {
      loop_.awake_ = true;
      if (!std::exchange(notified_, true)) loop_.notified_.push_back(this);
    }
    int fd() const override { return -1; }
    void run() {
      notified_ = false;
      handler_();
    }

   private:
    InlineLoop& loop_;
    const std::function<void()> handler_;
    bool notified_ = false;
  };

  // Its handler runs when the loop is pumped, as a notifier's.
  class InlineWatch final : public FdWatch {
   public:
    InlineWatch(InlineLoop& loop, std::function<void()> handler) : loop_(loop), notifier_(loop, std::move(handler)) {
      loop.watches_.push_back(this);
    }
    ~InlineWatch() override { std::erase(loop_.watches_, this); }
    void set_events(uint32_t) override {}
    void run() { notifier_.notify(); }

   private:
    InlineLoop& loop_;
    InlineNotifier notifier_;
  };

  struct InlineTimer final : Timer {
    InlineTimer(InlineLoop& on, std::function<void()> what) : loop(on), handler(std::move(what)) {
      loop.timers_.push_back(this);
    }
    ~InlineTimer() override { std::erase(loop.timers_, this); }
    void start_once(uint64_t nanoseconds) override { start(nanoseconds, 0); }
    void start_periodic(uint64_t nanoseconds) override { start(nanoseconds, nanoseconds); }
    void start(uint64_t first, uint64_t between) {
      due = loop.now_ + first;
      period = between;
    }
    void expire() {
      due = period == 0 ? UINT64_MAX : due + period;
      handler();
    }

    InlineLoop& loop;
    const std::function<void()> handler;
    uint64_t due = UINT64_MAX;  // nanoseconds; UINT64_MAX: not started
    uint64_t period = 0;        // 0: one run
  };

  // Runs the next timer that is due by then. False: there is none.
  bool expire_next(uint64_t end) {
    const auto next =
        std::min_element(timers_.begin(), timers_.end(), [](const auto* a, const auto* b) { return a->due < b->due; });
    if (next == timers_.end() || (*next)->due > end) return false;
    now_ = std::max(now_, (*next)->due);
    (*next)->expire();
    return true;
  }
  // False: there is nothing to do, and what comes now has to notify.
  bool step() {
    if (!notified_.empty()) {
      InlineNotifier* const first = notified_.front();
      notified_.erase(notified_.begin());
      first->run();
      return true;
    }
    bool found = false;
    for (size_t i = 0; i < pollers_.size(); i++) found |= pollers_[i]->poll();
    if (found) return true;
    for (size_t i = 0; i < pollers_.size(); i++) found |= pollers_[i]->prepare_sleep() && pollers_[i]->poll();
    return found || !notified_.empty();
  }

  void return_loop() override { lent_ = false; }

  std::vector<InlineNotifier*> notified_;
  std::vector<InlineWatch*> watches_;
  std::vector<InlineTimer*> timers_;
  std::vector<Poller*> pollers_;
  uint64_t now_ = 0;
  bool awake_ = false;
  bool running_ = false;
  bool lent_ = false;
};

}  // namespace acrn::test
