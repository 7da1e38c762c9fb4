// HandLoop: time that a test moves, and an alarm that rings when it is due.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "acrn/event/event_loop.h"
#include "tests/support/test.h"

namespace acrn::test {

// With one timer.
class HandLoop final : public EventLoop {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;

  bool is_current() const override { return true; }
  void enqueue(LoopTask& task) override { task.run(); }
  Result<std::unique_ptr<Notifier>> make_notifier(std::function<void()>) override { return no_more(); }
  Result<std::unique_ptr<Timer>> make_timer(std::function<void()> handler) override {
    if (broken) return no_more();
    ring = std::move(handler);
    return std::unique_ptr<Timer>(std::make_unique<HandAlarm>(*this));
  }
  std::unique_ptr<FdWatch> watch(int, uint32_t, std::function<void(uint32_t)>) override { return nullptr; }
  // Everything that was to happen until then happens in its time.
  void advance_to(uint64_t then) {
    while (rings_at <= then) {
      now = rings_at.load();
      rings_at = kNever;
      ring();
    }
    now = then;
  }

  std::atomic<uint64_t> now{0}, rings_at{kNever};
  std::function<void()> ring;
  bool broken = false;

 private:
  struct HandAlarm final : Timer {
    explicit HandAlarm(HandLoop& its_loop) : loop(its_loop) {}
    ~HandAlarm() override { loop.rings_at = kNever; }
    void start_once(uint64_t nanoseconds) override {
      EXPECT(nanoseconds != 0);
      loop.rings_at = loop.now + nanoseconds;
    }
    void start_periodic(uint64_t) override { EXPECT(false); }  // the interval timer sets one time after the other
    HandLoop& loop;
  };
  static Error no_more() { return {ErrorKind::kInternal, "no more descriptors"}; }
};

}  // namespace acrn::test
