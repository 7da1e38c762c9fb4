// TurnPolicy: how many chains a turn takes, until when, and who looks at the ring next. Times are given, not measured.
#include "hw/pci/virtio/turn_policy.h"

#include <string>
#include <vector>

#include "tests/support/test.h"

namespace acrn {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr TurnPolicy::Time kNow{1h};
constexpr unsigned kRing = 64;

// Teaches a policy that a chain takes this long.
TurnPolicy& learn(TurnPolicy& policy, std::chrono::nanoseconds each) {
  for (int turn = 0; turn < 100; turn++) policy.end(Site::kLoop, {.chains = 10, .duration = 10 * each});
  return policy;
}

}  // namespace

TEST(a_turn_takes_what_usually_fits_into_its_time) {
  struct Case {
    const char* name;
    std::chrono::nanoseconds each;  // that a chain took lately
    Site site;
    unsigned waiting, ring, chains;
  };
  const std::vector<Case> cases{
      {"fast chains on the loop: two rings", 100ns, Site::kLoop, 64, 64, 128},
      {"fast chains in a kick: two rings, too, and half of that since it empties the ring", 100ns, Site::kKick, 64, 64,
       192},
      {"chains of 10 us on the loop", 10us, Site::kLoop, 64, 64, 50},
      {"on the loop nothing is added to empty the ring", 10us, Site::kLoop, 55, 64, 50},
      {"chains of 4 us in a kick", 4us, Site::kKick, 64, 64, 10},
      {"a kick empties a ring with half as many again", 4us, Site::kKick, 15, 64, 15},
      {"but not one with more than that", 4us, Site::kKick, 16, 64, 10},
      {"slow chains: one at least", 5ms, Site::kKick, 64, 64, 1},
      {"slow chains on the loop", 5ms, Site::kLoop, 64, 64, 1},
      {"an index of a hostile driver", 4us, Site::kKick, 65535, 64, 10},
  };
  for (const Case& each : cases) {
    TurnPolicy policy(KickMode::kAuto);
    const unsigned chains = learn(policy, each.each).begin(each.site, each.waiting, each.ring, kNow).chains;
    test::expect(chains == each.chains, std::string(each.name) + ": " + std::to_string(chains), __FILE__, __LINE__);
  }
}

TEST(a_kick_ends_earlier_than_a_turn_of_the_loop_and_submits_earlier) {
  const TurnPolicy policy(KickMode::kAuto);
  const TurnLimits kick = policy.begin(Site::kKick, 1, kRing, kNow), loop = policy.begin(Site::kLoop, 1, kRing, kNow);
  EXPECT(kick.deadline == kNow + 80us);
  EXPECT(loop.deadline == kNow + 1000us);
  EXPECT_EQ(kick.flush_bytes, uint64_t{128} << 10);
  EXPECT_EQ(loop.flush_bytes, uint64_t{1} << 20);
}

TEST(what_a_turn_leaves_over_is_for_the_next_kick_or_the_loop) {
  struct Case {
    const char* name;
    Site site;
    TurnResult result;
    Next next;
  };
  // Chains of 1 us.
  const std::vector<Case> cases{
      {"nothing", Site::kKick, {.chains = 64, .duration = 64us}, Next::kDone},
      {"nothing on the loop", Site::kLoop, {.chains = 64, .duration = 64us}, Next::kDone},
      {"nothing, though it was late", Site::kKick, {.chains = 8, .past_deadline = true, .duration = 8us}, Next::kDone},
      {"what one more kick takes", Site::kKick, {.chains = 64, .remaining = 40, .duration = 64us}, Next::kNextKick},
      {"more than that", Site::kKick, {.chains = 64, .remaining = 41, .duration = 64us}, Next::kWakeLoop},
      {"a little, and it was late",
       Site::kKick,
       {.chains = 8, .remaining = 1, .past_deadline = true, .duration = 8us},
       Next::kWakeLoop},
      {"a little, and requests are in flight",
       Site::kKick,
       {.chains = 64, .remaining = 1, .in_flight = 1},
       Next::kWakeLoop},
      {"a little on the loop, where others have their turns now",
       Site::kLoop,
       {.chains = 128, .remaining = 1, .duration = 128us},
       Next::kWakeLoop},
  };
  for (const Case& each : cases) {
    TurnPolicy policy(KickMode::kAuto);
    test::expect(policy.end(each.site, each.result) == each.next, each.name, __FILE__, __LINE__);
  }
}

// Chains of 1 us, of which a turn leaves eight, or more than a kick takes.
constexpr TurnResult kLittleLeft{.chains = 64, .remaining = 8, .duration = 64us},
    kMuchLeft{.chains = 64, .remaining = 64, .duration = 64us};

TEST(a_driver_that_did_not_come_back_for_the_rest_is_relied_on_again_after_twice_as_many_turns_each_time) {
  TurnPolicy policy(KickMode::kAuto);
  for (const unsigned skipped : {0u, 1u, 3u, 7u}) {
    for (unsigned turn = 0; turn < skipped; turn++) {
      EXPECT(policy.end(Site::kKick, kLittleLeft) == Next::kWakeLoop);
      EXPECT(policy.wants_polling(0));
    }
    EXPECT(policy.end(Site::kKick, kLittleLeft) == Next::kNextKick);
    EXPECT(!policy.wants_polling(0));
    policy.record_absence();
    EXPECT(policy.wants_polling(0));
  }
  for (int turn = 0; turn < 15; turn++) policy.end(Site::kKick, kLittleLeft);
  // It has come: the past is forgotten.
  for (int kick = 0; kick < 2; kick++) EXPECT(policy.end(Site::kKick, kLittleLeft) == Next::kNextKick);
  policy.record_absence();
  EXPECT(policy.end(Site::kKick, kLittleLeft) == Next::kWakeLoop);
  EXPECT(policy.end(Site::kKick, kLittleLeft) == Next::kNextKick);
}

TEST(a_loop_gives_a_ring_back_to_kicks_that_are_enough_for_it) {
  TurnPolicy policy(KickMode::kAuto);
  EXPECT(policy.end(Site::kKick, kMuchLeft) == Next::kWakeLoop);
  EXPECT(policy.end(Site::kLoop, kMuchLeft) == Next::kWakeLoop);
  EXPECT(policy.end(Site::kLoop, kLittleLeft) == Next::kWakeLoop);  // one turn more after the kick that was not enough
  EXPECT(policy.wants_polling(0));
  EXPECT(policy.end(Site::kLoop, kLittleLeft) == Next::kNextKick);
  EXPECT(!policy.wants_polling(0));
  // Then a turn of the loop, which was awake when a kick came, is no longer than that kick's would have been.
  EXPECT_EQ(policy.begin(Site::kLoop, 64, kRing, kNow).chains, policy.begin(Site::kKick, 64, kRing, kNow).chains);
}

TEST(a_loop_keeps_a_ring_whose_kicks_are_events) {
  TurnPolicy policy(KickMode::kAuto);
  EXPECT(policy.end(Site::kKick, kLittleLeft) == Next::kNextKick);
  policy.record_event();
  for (int turn = 0; turn < 10; turn++) EXPECT(policy.end(Site::kLoop, kLittleLeft) == Next::kWakeLoop);
  EXPECT(policy.wants_polling(0));
}

TEST(a_kick_is_served_on_its_own_thread_as_the_option_says_or_while_it_pays) {
  constexpr TurnResult kDone{.chains = 1, .duration = 1us}, kWorkers{.chains = 1, .in_flight = 1},
      kLoopNeeded{.chains = 1, .in_flight = 1, .needs_loop = true};
  TurnPolicy by_itself(KickMode::kAuto), always(KickMode::kInline), never(KickMode::kLoop);
  EXPECT(by_itself.inline_ok() && always.inline_ok() && !never.inline_ok());
  for (TurnPolicy* policy : {&by_itself, &always, &never}) policy->end(Site::kKick, kWorkers);
  EXPECT(by_itself.inline_ok() && always.inline_ok() && !never.inline_ok());
  for (TurnPolicy* policy : {&by_itself, &always, &never}) policy->end(Site::kKick, kLoopNeeded);
  EXPECT(!by_itself.inline_ok() && always.inline_ok() && !never.inline_ok());
  for (TurnPolicy* policy : {&by_itself, &always, &never}) policy->end(Site::kLoop, kDone);
  EXPECT(by_itself.inline_ok() && always.inline_ok() && !never.inline_ok());
}

TEST(the_loop_polls_for_kicks_unless_they_do_all_of_it_and_not_for_the_medium) {
  struct Case {
    const char* name;
    std::vector<std::pair<Site, TurnResult>> turns;
    bool polls;
  };
  constexpr TurnResult kAll{.chains = 4, .duration = 4us}, kLoopNeeded{.chains = 1, .in_flight = 1, .needs_loop = true};
  const std::vector<Case> cases{
      {"before the first turn", {}, true},
      {"turns of the loop", {{Site::kLoop, kAll}}, true},
      {"a kick that did everything", {{Site::kKick, kAll}}, false},
      {"the same, and then the loop looked", {{Site::kKick, kAll}, {Site::kLoop, kAll}}, false},
      {"a kick that left a little", {{Site::kKick, kLittleLeft}}, false},
      {"a kick that left much", {{Site::kKick, kMuchLeft}}, true},
      {"a kick whose request the loop starts", {{Site::kKick, kAll}, {Site::kKick, kLoopNeeded}}, true},
  };
  for (const Case& each : cases) {
    TurnPolicy policy(KickMode::kAuto);
    for (const auto& [site, result] : each.turns) policy.end(site, result);
    test::expect(policy.wants_polling(0) == each.polls, each.name, __FILE__, __LINE__);
    test::expect(!policy.wants_polling(1), each.name, __FILE__, __LINE__);  // a medium takes its time
  }
}

TEST(the_average_follows_and_one_turn_that_was_interrupted_says_little) {
  const auto quota = [](const TurnPolicy& policy) { return policy.begin(Site::kKick, 0xffff, 1024, kNow).chains; };
  TurnPolicy policy(KickMode::kAuto);
  EXPECT_EQ(quota(policy), 40u);  // 1 us each, before anything is known
  policy.end(Site::kLoop, {.chains = 1, .duration = 10ms});
  EXPECT_EQ(quota(policy), 35u);  // counted as 2 us
  policy.end(Site::kLoop, {.chains = 0, .duration = 10ms});
  policy.end(Site::kLoop, {.chains = 1, .in_flight = 1});
  EXPECT_EQ(quota(policy), 35u);  // these say nothing
  learn(policy, 2us);
  EXPECT_EQ(quota(policy), 20u);
  learn(policy, 500ns);
  EXPECT(quota(policy) >= 78 && quota(policy) <= 80);
}

}  // namespace acrn
