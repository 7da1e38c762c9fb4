// Limits: what passes of what waits, in a time that the test gives.
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "dm/block/filters/throttle_group.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

using Time = ThrottleGroup::Time;
using Duration = ThrottleGroup::Duration;

DiskLimits limit(LimitKind kind, uint64_t rate, uint64_t burst = 0) {
  DiskLimits limits;
  limits[kind] = {rate, burst};
  return limits;
}

std::shared_ptr<ThrottleGroup> group_of(const DiskLimits& limits) {
  return std::make_shared<ThrottleGroup>(limits, Time(1s));
}

// A disk whose guest keeps `depth` requests of one kind with it, each done when it has passed.
class Load {
 public:
  Load(std::shared_ptr<ThrottleGroup> group, unsigned depth, BlockOp op = BlockOp::kRead, uint64_t bytes = 4096)
      : disk_(std::move(group)), requests_(depth) {
    for (BlockRequest& request : requests_) {
      request.op = op;
      request.length = bytes;
      waiting_.push(request);
    }
  }
  // What a channel does when it looks: everything that may pass, again and again.
  void look(Time now) {
    std::array<BlockRequest*, 32> passing;
    for (Duration sleep{0}; sleep == 0ns;) {
      const size_t count = disk_.group().admit(disk_, waiting_, passing, now, sleep);
      passed_ += count;
      for (size_t i = 0; i < count; i++) waiting_.push(*passing[i]);
      if (sleep == 0ns && count == 0) break;
      next_look_ = now + sleep;
    }
  }
  Time next_look() const { return next_look_; }
  uint64_t passed() const { return passed_; }
  ThrottledDisk& disk() { return disk_; }

 private:
  ThrottledDisk disk_;
  std::vector<BlockRequest> requests_;
  RequestFifo waiting_;
  Time next_look_{};
  uint64_t passed_ = 0;
};

// From 1 s on, for so long; each look comes `late`.
void run(std::vector<Load*> loads, Duration length, Duration late = 60us, Time start = Time(1s)) {
  for (Load* load : loads) load->look(start);
  for (;;) {
    Load* const next =
        *std::min_element(loads.begin(), loads.end(), [](Load* a, Load* b) { return a->next_look() < b->next_look(); });
    const Time now = next->next_look() + late;
    if (now > start + length) return;
    next->look(now);
  }
}

bool near(double value, double wanted, double part) {
  return value >= wanted * (1 - part) && value <= wanted * (1 + part);
}

}  // namespace

TEST(a_limit_is_kept_within_2_percent_over_a_second) {
  for (const uint64_t rate : {100, 1000, 12'345, 100'000, 1'000'000}) {
    for (const Duration late : {0us, 60us, 3000us}) {
      auto group = group_of(limit(LimitKind::kRequests, rate));
      Load load(group, 64);
      run({&load}, 1s, late);
      test::expect(near(static_cast<double>(load.passed()), static_cast<double>(rate), 0.02),
                   std::to_string(rate) + " a second: " + std::to_string(load.passed()), __FILE__, __LINE__);
    }
  }
}

TEST(bytes_are_limited_whatever_the_size_of_a_request) {
  for (const uint64_t bytes : {uint64_t{512}, uint64_t{4096}, uint64_t{1} << 20}) {
    auto group = group_of(limit(LimitKind::kBytes, 100'000'000));
    Load load(group, 64, BlockOp::kWrite, bytes);
    run({&load}, 10s);
    EXPECT(near(static_cast<double>(load.passed() * bytes), 1e9, 0.02));
  }
}

TEST(a_request_larger_than_the_burst_passes_and_is_paid_for_afterwards) {
  auto group = group_of(limit(LimitKind::kBytes, 1'000'000, 4096));
  Load load(group, 2, BlockOp::kWrite, 1'000'000);
  run({&load}, 900ms);
  EXPECT_EQ(load.passed(), 1u);
}

TEST(what_passes_without_a_wait_when_a_disk_stops_is_owed) {
  auto group = group_of(limit(LimitKind::kRequests, 100));
  ThrottledDisk disk(group);
  BlockRequest request;
  request.op = BlockOp::kRead;
  Time first{}, second{};  // when its queues did so last
  EXPECT(group->may_owe(disk, first, Time(1s)));
  for (unsigned i = 0; i < 300; i++) EXPECT(group->owe(disk, request));
  EXPECT(!group->may_owe(disk, first, Time(1100ms)));
  EXPECT(group->may_owe(disk, second, Time(1900ms)));  // another queue of the same pause
  EXPECT(!group->may_owe(disk, second, Time(1900ms)));
  EXPECT(!group->may_owe(disk, first, Time(3900ms)));
  Load load(group, 1);
  load.look(Time(3900ms));
  EXPECT_EQ(load.passed(), 0u);
  EXPECT(group->may_owe(disk, first, Time(5s)));
  ThrottledDisk other(group);  // is paused with it, perhaps
  Time others{};
  EXPECT(group->may_owe(other, others, Time(5s)));
  unsigned more = 0;
  while (group->owe(disk, request)) more++;
  EXPECT(more >= 6000 && more <= 6001);  // a minute's
}

TEST(a_disk_that_stops_again_and_again_leaves_the_others_their_part) {
  auto group = group_of(limit(LimitKind::kRequests, 100));
  ThrottledDisk greedy(group);
  Load honest(group, 32);
  BlockRequest request;
  request.op = BlockOp::kRead;
  Time owed_at{};
  for (Time now(1s); now < Time(61s); now += 1ms) {
    if (now >= honest.next_look()) honest.look(now);
    if (!group->may_owe(greedy, owed_at, now)) continue;
    for (unsigned i = 0; i < 128; i++) (void)group->owe(greedy, request);
  }
  EXPECT(honest.passed() > 2500);  // of 6000
}

TEST(a_disk_that_is_ahead_for_its_large_requests_may_owe_once_the_others_have_had_what_it_owed_last) {
  auto group = group_of(limit(LimitKind::kBytes, 5'000'000));
  Load first(group, 16, BlockOp::kWrite, 1 << 20), second(group, 16, BlockOp::kWrite, 1 << 20);
  BlockRequest request;
  request.op = BlockOp::kWrite;
  request.length = 1 << 20;
  Time start(1s);
  Load* const loads[] = {&first, &second};  // one of them is 200 ms ahead
  Time owed_at[2]{};
  for (unsigned pauses = 0; pauses < 3; pauses++) {
    run({&first, &second}, 20s, 60us, start);
    start += 20s;
    for (unsigned i = 0; i < 2; i++) {
      EXPECT(group->may_owe(loads[i]->disk(), owed_at[i], start));
      for (unsigned j = 0; j < 16; j++) EXPECT(group->owe(loads[i]->disk(), request));
    }
  }
}

TEST(a_burst_is_what_was_saved_up_and_no_more) {
  auto group = group_of(limit(LimitKind::kRequests, 100, 500));
  Load load(group, 64);
  load.look(Time(1s));
  EXPECT_EQ(load.passed(), 500u);
  load.look(Time(1s) + 100ms);
  EXPECT_EQ(load.passed(), 510u);
}

TEST(a_limit_counts_its_kind_alone) {
  struct Case {
    LimitKind kind;
    BlockOp op;
    bool counted;
  };
  for (const Case& each :
       {Case{LimitKind::kReads, BlockOp::kRead, true}, Case{LimitKind::kReads, BlockOp::kWrite, false},
        Case{LimitKind::kWrites, BlockOp::kWrite, true}, Case{LimitKind::kWrites, BlockOp::kRead, false},
        Case{LimitKind::kWrites, BlockOp::kFlush, true}, Case{LimitKind::kWrites, BlockOp::kDiscard, true},
        Case{LimitKind::kBytesRead, BlockOp::kRead, true}, Case{LimitKind::kBytesRead, BlockOp::kWrite, false},
        Case{LimitKind::kBytesWritten, BlockOp::kWrite, true},
        Case{LimitKind::kBytesWritten, BlockOp::kWriteZeroes, false},
        Case{LimitKind::kBytes, BlockOp::kFlush, false}}) {
    auto group = group_of(limit(each.kind, 1));
    ThrottledDisk disk(group);
    std::array<BlockRequest, 3> requests;
    RequestFifo waiting;
    for (BlockRequest& request : requests) {
      request.op = each.op;
      request.length = 512;
      waiting.push(request);
    }
    std::array<BlockRequest*, 32> passing;
    Duration sleep{0};
    EXPECT_EQ(group->admit(disk, waiting, passing, Time(1s), sleep), each.counted ? 1u : 3u);
    EXPECT_EQ(sleep != 0ns, each.counted);
  }
}

TEST(disks_of_a_group_get_the_same_whatever_their_depth) {
  auto group = group_of(limit(LimitKind::kRequests, 10'000));
  Load deep(group, 64), shallow(group, 1), middle(group, 8);
  run({&deep, &shallow, &middle}, 5s);
  const double all = static_cast<double>(deep.passed() + shallow.passed() + middle.passed());
  EXPECT(near(all, 50'000, 0.02));
  for (const Load* load : {&deep, &shallow, &middle}) EXPECT(near(static_cast<double>(load->passed()), all / 3, 0.05));
}

TEST(disks_of_a_group_get_the_same_bytes_whatever_the_size_of_their_requests) {
  auto group = group_of(limit(LimitKind::kBytes, 100'000'000));
  Load large(group, 16, BlockOp::kRead, 1 << 20), small(group, 16, BlockOp::kRead, 4096);
  run({&large, &small}, 10s);
  EXPECT(near(static_cast<double>(large.passed()) * (1 << 20), static_cast<double>(small.passed()) * 4096, 0.05));
}

TEST(what_an_idle_disk_does_not_use_the_others_get_and_it_has_no_claim_to_it_later) {
  auto group = group_of(limit(LimitKind::kRequests, 1000));
  Load busy(group, 64), late(group, 64);
  run({&busy}, 5s);
  EXPECT(near(static_cast<double>(busy.passed()), 5000, 0.02));
  const uint64_t before = busy.passed();
  run({&busy, &late}, 2s, 60us, Time(6s));
  EXPECT(near(static_cast<double>(busy.passed() - before), 1000, 0.05));
  EXPECT(near(static_cast<double>(late.passed()), 1000, 0.05));
}

TEST(a_disk_that_no_longer_looks_holds_up_nobody) {
  auto group = group_of(limit(LimitKind::kRequests, 1000));
  Load stuck(group, 64), busy(group, 64);
  stuck.look(Time(1s));
  run({&busy}, 5s);
  EXPECT(near(static_cast<double>(busy.passed() + stuck.passed()), 5000, 0.02));
}

TEST(limits_change_while_requests_wait) {
  auto group = group_of(limit(LimitKind::kRequests, 1));
  Load load(group, 64);
  load.look(Time(1s));
  EXPECT_EQ(load.passed(), 1u);
  EXPECT(load.next_look() <= Time(1s) + ThrottleGroup::kLongestSleep);
  group->set({});
  EXPECT(!group->limited());
  EXPECT(group->limits() == DiskLimits{});
}

TEST(groups_are_shared_by_name_and_only_by_name) {
  ThrottleGroups groups;
  const auto gold = groups.find("gold", {});
  EXPECT(!gold->limited());
  EXPECT(groups.find("gold", limit(LimitKind::kRequests, 5)) == gold);
  EXPECT_EQ(gold->limits()[LimitKind::kRequests].rate, 5u);
  EXPECT(groups.find("gold", {}) == gold);
  EXPECT(gold->limited());
  EXPECT(groups.find("", {}) != groups.find("", {}));
}

}  // namespace acrn
