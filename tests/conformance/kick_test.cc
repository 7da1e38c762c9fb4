// Where a kick is served, and that nothing stays in the ring whatever a kick has left over (docs/adr/0019, 0021).
#include "tests/support/bench_disk.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr LoopHabits kLends{.longest_poll = std::chrono::microseconds(50), .lends = true};

// Which threads carried requests out, and how long each takes.
class Watched {
 public:
  Watched(BenchDisk& bench, std::chrono::microseconds each) {
    bench.disk().set_hook([this, each](const BlockRequest&) {
      (std::this_thread::get_id() == guest_ ? by_guest_ : by_others_)++;
      const auto end = std::chrono::steady_clock::now() + each;
      while (std::chrono::steady_clock::now() < end) {
      }
    });
  }
  unsigned by_guest() const { return by_guest_; }
  unsigned by_others() const { return by_others_; }

 private:
  const std::thread::id guest_ = std::this_thread::get_id();
  std::atomic<unsigned> by_guest_{0}, by_others_{0};
};

// As soon as the loop sleeps.
void kick_until_served_here(RawGuest& guest, const Watched& watched) {
  for (uint16_t round = 0; watched.by_guest() == 0; round++) {
    EXPECT(round < 1000);
    const auto ready = ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector);
    EXPECT(guest.run(ready.head).has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Many at once, one kick.
void burst(RawGuest& guest, unsigned count) {
  std::vector<ReadyRequest> all;
  for (uint16_t head = 0; head < count; head++)
    all.push_back(ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector));
  for (const ReadyRequest& request : all) guest.offer(request.head);
  guest.kick();
  reap(guest, count);
  for (const ReadyRequest& request : all) {
    EXPECT_EQ(guest.byte(request.status), VIRTIO_BLK_S_OK);
    EXPECT(request.data.holds_disk(uint64_t{request.head} * kSector));
  }
}

TEST(a_kick_is_served_on_its_own_thread_while_the_loop_sleeps) {
  for (const KickMode mode : {KickMode::kAuto, KickMode::kInline}) {
    BenchDisk bench({.device = {.kick = mode}, .habits = kLends});
    Watched watched(bench, {});
    RawGuest guest = bench.guest();
    kick_until_served_here(guest, watched);
    expect_serves(guest);
  }
}

TEST(a_kick_is_never_served_on_its_own_thread_where_the_option_says_so) {
  BenchDisk bench({.device = {.kick = KickMode::kLoop}, .habits = kLends});
  Watched watched(bench, {});
  RawGuest guest = bench.guest();
  for (int i = 0; i < 20; i++) {
    expect_serves(guest);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(watched.by_guest(), 0u);
  EXPECT(watched.by_others() >= 60);
}

TEST(only_kicks_that_are_exits_are_served_inline) {
  for (const KickMode mode : {KickMode::kAuto, KickMode::kInline, KickMode::kLoop}) {
    BenchDisk bench({.device = {.queues = 2, .kick = mode}});
    const auto doorbells = bench.function().doorbells();
    EXPECT_EQ(doorbells.size(), 2u);
    for (const BarDoorbell& doorbell : doorbells) EXPECT_EQ(doorbell.event_fd < 0, mode == KickMode::kInline);
  }
}

// The guest kicks once and sleeps. Requests of 3 us are left to the next kick, those of 30 us to the loop.
TEST(what_a_kick_leaves_over_is_done_without_another_one) {
  for (const auto each : {std::chrono::microseconds(3), std::chrono::microseconds(30)}) {
    for (const uint64_t features : {kNoEventIndex, kAllFeatures}) {
      for (const InterruptMode interrupts : {InterruptMode::kMsix, InterruptMode::kIntx}) {
        BenchDisk bench({.device = {.kick = KickMode::kInline}, .habits = kLends});
        Watched watched(bench, each);
        RawGuest guest = bench.guest(features, interrupts);
        kick_until_served_here(guest, watched);
        for (int round = 0; round < 20; round++) burst(guest, 64);
        EXPECT(watched.by_others() > 0);
      }
    }
  }
}

TEST(a_reset_takes_what_a_kick_has_left_over) {
  for (int round = 0; round < 20; round++) {
    BenchDisk bench({.device = {.kick = KickMode::kInline}, .habits = kLends});
    Watched watched(bench, std::chrono::microseconds(3));
    RawGuest guest = bench.guest();
    kick_until_served_here(guest, watched);
    for (uint16_t head = 0; head < 64; head++)
      guest.offer(ready_request(guest, head, VIRTIO_BLK_T_IN, 0, kSector).head);
    guest.kick();
    expect_serves_after_restart(guest);
    EXPECT_EQ(bench.guest_errors(GuestRule::kKickBeforeRing), 0u);
  }
}

TEST(a_virtual_cpu_is_back_after_its_share) {
  BenchDisk bench({.device = {.kick = KickMode::kInline}, .habits = kLends});
  Watched watched(bench, std::chrono::microseconds(500));
  RawGuest guest = bench.guest();
  kick_until_served_here(guest, watched);
  const unsigned before = watched.by_guest();
  burst(guest, 64);
  EXPECT(watched.by_guest() - before <= 8);  // a group is begun at once and not broken off
}

// These never reach the disk. They are cheap at first, so that a kick takes on many, and then they are not.
TEST(chains_without_a_transfer_are_part_of_the_share_too) {
  BenchDisk bench({.device = {.queue_size = 1024, .kick = KickMode::kInline}, .habits = kLends});
  Watched watched(bench, {});
  RawGuest guest = bench.guest();
  kick_until_served_here(guest, watched);
  const Gpa table = guest.memory(1000 * sizeof(VringDesc));
  const Gpa header = guest.header(VIRTIO_BLK_T_GET_ID, 0), status = guest.status();
  for (uint32_t i = 0; i < 1000; i++) {
    const VringDesc desc{raw(i == 0 ? header : status), i == 0 ? uint32_t{sizeof(VirtioBlkOuthdr)} : 1u,
                         static_cast<uint16_t>((i == 0 ? 0 : VRING_DESC_F_WRITE) | (i < 999 ? VRING_DESC_F_NEXT : 0)),
                         static_cast<uint16_t>(i + 1)};
    guest.at(table, 1000 * sizeof(VringDesc)).store(i * sizeof(VringDesc), desc);
  }
  for (int round = 0; round < 5; round++) {
    for (int cheap = 0; cheap < 20; cheap++) {
      for (uint16_t head = 0; head < 200; head++)
        guest.offer(ready_request(guest, head, VIRTIO_BLK_T_GET_ID, 0, 20).head);
      guest.kick();
      reap(guest, 200);
    }
    guest.offer(ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector).head);
    for (uint16_t head = 1; head < 500; head++) {
      guest.set(head, table, 1000 * sizeof(VringDesc), VRING_DESC_F_INDIRECT);
      guest.offer(head);
    }
    const uint16_t before = guest.ring().used_index();
    guest.kick();
    EXPECT(static_cast<uint16_t>(guest.ring().used_index() - before) < 500);  // they take milliseconds
    reap(guest, 500);
  }
}

TEST(kicks_that_were_served_before_their_handler_ran_are_no_mistake) {
  for (int round = 0; round < 300; round++) {
    BenchDisk bench({.habits = kLends});
    RawGuest guest = bench.guest();
    for (int i = 0; i < 3; i++) expect_serves(guest);
    MUST(guest.restart(kNoEventIndex));
    EXPECT_EQ(bench.guest_errors(GuestRule::kKickBeforeRing), 0u);
  }
}

}  // namespace
}  // namespace acrn
