// LeftoverTimer: what a kick has left over is served once, unless kicks go on coming.
#include "hw/pci/virtio/leftover_timer.h"

#include "tests/support/test.h"

namespace acrn {
namespace {

class CountingTimer final : public Timer {
 public:
  explicit CountingTimer(unsigned& count) : count_(count) {}
  void start_once(uint64_t nanoseconds) override {
    EXPECT_EQ(nanoseconds, LeftoverTimer::kLeftoverTimeout);
    count_++;
  }
  void start_periodic(uint64_t) override { EXPECT(false); }

 private:
  unsigned& count_;
};

struct Armed {
  Armed() {
    timer.set_timer(std::make_unique<CountingTimer>(set));
    timer.arm();
    EXPECT_EQ(set, 1u);
  }
  unsigned set = 0;
  LeftoverTimer timer;
};

}  // namespace

TEST(what_no_kick_comes_for_is_served_at_expiry) {
  Armed armed;
  EXPECT(armed.timer.should_serve_on_expiry(true));
  EXPECT_EQ(armed.set, 1u);
}

TEST(nothing_is_served_where_nothing_is_left) {
  Armed armed;
  EXPECT(!armed.timer.should_serve_on_expiry(false));
  armed.timer.arm();  // and the next time it is set again
  EXPECT_EQ(armed.set, 2u);
}

TEST(kicks_that_leave_chains_over_again_do_not_start_the_timer_but_put_it_off) {
  Armed armed;
  for (int kick = 0; kick < 3; kick++) armed.timer.arm();
  EXPECT_EQ(armed.set, 1u);
  EXPECT(!armed.timer.should_serve_on_expiry(true));
  EXPECT_EQ(armed.set, 2u);
  EXPECT(armed.timer.should_serve_on_expiry(true));
  EXPECT_EQ(armed.set, 2u);
}

TEST(what_kicks_have_taken_is_not_waited_for) {
  Armed armed;
  armed.timer.arm();
  EXPECT(!armed.timer.should_serve_on_expiry(false));
  EXPECT_EQ(armed.set, 1u);
}

}  // namespace acrn
