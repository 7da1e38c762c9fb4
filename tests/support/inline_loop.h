// InlineLoop: an EventLoop without a thread, for fuzzers and for tests that want one step at a time. Tasks run
// when they are posted; notified handlers run at pump(), on the caller.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "acrn/event/event_loop.h"

namespace acrn::test {

class InlineLoop final : public EventLoop {
 public:
  bool is_current() const override { return true; }
  void post(std::function<void()> task) override { task(); }
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()> handler) override {
    return std::unique_ptr<Notifier>(std::make_unique<InlineNotifier>(*this, std::move(handler)));
  }

  // Time does not pass here: a single run is due at once, a period never ends.
  Result<std::unique_ptr<Timer>> make_timer(std::function<void()> handler) override {
    return std::unique_ptr<Timer>(std::make_unique<InlineNotifier>(*this, std::move(handler)));
  }

  // Runs what was notified, until nothing is or `most` handlers have run.
  void pump(unsigned most = 1000) {
    for (unsigned ran = 0; ran < most && !notified_.empty(); ran++) {
      InlineNotifier* next = notified_.front();
      notified_.erase(notified_.begin());
      next->run();
    }
  }

 private:
  class InlineNotifier final : public Notifier, public Timer {
   public:
    InlineNotifier(InlineLoop& loop, std::function<void()> handler) : loop_(loop), handler_(std::move(handler)) {}
    ~InlineNotifier() override { std::erase(loop_.notified_, this); }
    void notify() override {
      if (!std::exchange(notified_, true)) loop_.notified_.push_back(this);
    }
    int fd() const override { return -1; }
    void start_once(uint64_t) override { notify(); }
    void start_periodic(uint64_t) override {}
    void run() {
      notified_ = false;
      handler_();
    }

   private:
    InlineLoop& loop_;
    std::function<void()> handler_;
    bool notified_ = false;
  };

  std::vector<InlineNotifier*> notified_;
};

}  // namespace acrn::test
