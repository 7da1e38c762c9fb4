// Where a kick is served, and that nothing stays in the ring whatever a kick has left over (docs/adr/0019, 0021).
#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr LoopOptions kBorrowable{.longest_poll = std::chrono::microseconds(50), .allow_borrow = true};

// Which threads carried requests out.
class Watched {
 public:
  // `before_each`: what a request waits for.
  explicit Watched(
      DeviceFixture& bench, std::function<void()> before_each = [] {}) {
    bench.disk().set_hook([this, before_each](const BlockRequest& request) {
      (std::this_thread::get_id() == guest_ ? by_guest_ : by_others_)++;
      if (std::this_thread::get_id() == guest_) last_by_guest_ = request.offset;
      before_each();
    });
  }
  unsigned by_guest() const { return by_guest_; }
  unsigned by_others() const { return by_others_; }
  uint64_t last_by_guest() const { return last_by_guest_; }  // byte offset

 private:
  const std::thread::id guest_ = std::this_thread::get_id();
  std::atomic<unsigned> by_guest_{0}, by_others_{0};
  std::atomic<uint64_t> last_by_guest_{0};
};

// Longer than any turn.
void take_long() {
  const auto end = std::chrono::steady_clock::now() + 2 * TurnPolicy::kLongestTurn;
  while (std::chrono::steady_clock::now() <= end) {
  }
}

std::vector<ReadyRequest> reads(RawGuest& guest, uint16_t count) {
  std::vector<ReadyRequest> all;
  for (uint16_t head = 0; head < count; head++)
    all.push_back(ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector));
  return all;
}

void offer(RawGuest& guest, std::span<const ReadyRequest> requests) {
  for (const ReadyRequest& request : requests) guest.offer(request.head);
}

void expect_done(RawGuest& guest, const std::vector<ReadyRequest>& all) {
  reap(guest, static_cast<uint16_t>(all.size()));
  for (const ReadyRequest& request : all) {
    EXPECT_EQ(guest.byte(request.status), VIRTIO_BLK_S_OK);
    EXPECT(request.data.holds_disk(uint64_t{request.head} * kSector));
  }
}

// Many at once, one kick.
void burst(RawGuest& guest, uint16_t count) {
  const std::vector<ReadyRequest> all = reads(guest, count);
  offer(guest, all);
  guest.kick();
  expect_done(guest, all);
}

// More than a kick takes on, one kick. The first one of a queue takes 40 chains, or 60 if that empties the ring.
// `late`: so many come during the first request, so that little is left.
struct Overfull {
  Overfull(DeviceFixture& bench, uint16_t count, uint16_t late, uint64_t features = kNoEventIndex,
           InterruptMode interrupts = InterruptMode::kMsix)
      : guest(bench.guest(features, interrupts)),
        all(reads(guest, count)),
        watched(bench, [this] { offer(guest, std::exchange(coming, {})); }) {
    bench.wait_until_asleep();
    coming = std::span(all).last(late);
    offer(guest, std::span(all).first(all.size() - late));
    guest.kick();
    EXPECT(watched.by_guest() > 0 && watched.by_guest() <= 60);
  }

  RawGuest guest;
  const std::vector<ReadyRequest> all;
  std::span<const ReadyRequest> coming;
  const Watched watched;
};

TEST(a_kick_is_served_on_its_own_thread_while_the_loop_sleeps) {
  for (const KickMode mode : {KickMode::kAuto, KickMode::kInline}) {
    DeviceFixture bench({.device = {.kick = mode}, .loop = kBorrowable});
    const Watched watched(bench);
    RawGuest guest = bench.guest();
    for (unsigned round = 1; round <= 20; round++) {
      bench.wait_until_asleep();
      burst(guest, 1);
      EXPECT_EQ(watched.by_guest(), round);
    }
    expect_serves(guest);
  }
}

TEST(a_kick_is_never_served_on_its_own_thread_where_the_option_says_so) {
  DeviceFixture bench({.device = {.kick = KickMode::kLoop}, .loop = kBorrowable});
  const Watched watched(bench);
  RawGuest guest = bench.guest();
  for (int i = 0; i < 20; i++) {
    bench.wait_until_asleep();
    expect_serves(guest);
  }
  EXPECT_EQ(watched.by_guest(), 0u);
  EXPECT(watched.by_others() >= 60);
}

// Its answers, or its starts, are the loop's own: one that waits for a request is not borrowed for the next kick.
TEST(a_kick_is_left_to_the_loop_of_a_disk_that_needs_its_own_thread) {
  for (const bool needs : {false, true}) {
    DeviceFixture bench({.medium = {.size = 4 * kMiB, .needs_own_thread = needs}, .loop = kBorrowable});
    const Watched watched(bench);
    RawGuest guest = bench.guest();
    bench.wait_until_asleep();
    bench.faults().hold();
    guest.offer(ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector).head);
    guest.kick();  // borrows the loop, which nothing is known of
    bench.faults().release();
    reap(guest, 1);
    const unsigned before = watched.by_guest();
    bench.wait_until_asleep();
    burst(guest, 1);
    EXPECT_EQ(watched.by_guest(), before + (needs ? 0 : 1));
  }
}

TEST(only_kicks_that_are_exits_are_served_inline) {
  for (const KickMode mode : {KickMode::kAuto, KickMode::kInline, KickMode::kLoop}) {
    DeviceFixture bench({.device = {.queues = 2, .kick = mode}});
    const auto doorbells = bench.function().doorbells();
    EXPECT_EQ(doorbells.size(), 2u);
    for (const BarDoorbell& doorbell : doorbells) EXPECT_EQ(doorbell.event_fd < 0, mode == KickMode::kInline);
  }
}

// The guest kicks once and sleeps. A little is left to the next kick, or to a timer; much, and a ring that the driver
// has added to meanwhile, to the loop.
TEST(what_a_kick_leaves_over_is_done_without_another_one) {
  for (const auto& [count, late] : {std::pair<uint16_t, uint16_t>(65, 0), {65, 15}, {128, 0}}) {
    for (const uint64_t features : {kNoEventIndex, kAllFeatures}) {
      for (const InterruptMode interrupts : {InterruptMode::kMsix, InterruptMode::kIntx}) {
        DeviceFixture bench({.device = {.queue_size = 128, .kick = KickMode::kInline}, .loop = kBorrowable});
        Overfull kicked(bench, count, late, features, interrupts);
        expect_done(kicked.guest, kicked.all);
        EXPECT_EQ(kicked.watched.by_others(), count - kicked.watched.by_guest());
      }
    }
  }
}

TEST(a_reset_takes_what_a_kick_has_left_over) {
  for (int round = 0; round < 5; round++) {
    DeviceFixture bench({.device = {.queue_size = 128, .kick = KickMode::kInline}, .loop = kBorrowable});
    Overfull kicked(bench, 65, 15);
    expect_serves_after_restart(kicked.guest);
    EXPECT_EQ(bench.guest_errors(GuestRule::kKickBeforeRing), 0u);
  }
}

// A group is begun at once and not broken off.
TEST(a_virtual_cpu_is_back_after_the_group_in_which_its_time_ran_out) {
  DeviceFixture bench({.device = {.kick = KickMode::kInline}, .loop = kBorrowable});
  const Watched watched(bench, take_long);
  RawGuest guest = bench.guest();
  bench.wait_until_asleep();
  burst(guest, 32);
  EXPECT_EQ(watched.by_guest(), SubmitBatch::kRequests);
}

// These never reach the disk. They are cheap at first, so that a kick takes on many, and then longer than a kick may
// be.
TEST(chains_without_a_transfer_use_the_time_of_a_kick_too) {
  DeviceFixture bench({.device = {.queue_size = 1024, .kick = KickMode::kInline}, .loop = kBorrowable});
  const Watched watched(bench);
  RawGuest guest = bench.guest();
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
    bench.wait_until_asleep();
    guest.offer(ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector).head);
    for (uint16_t head = 1; head < 500; head++) {
      guest.set(head, table, 1000 * sizeof(VringDesc), VRING_DESC_F_INDIRECT);
      guest.offer(head);
    }
    guest.offer(ready_request(guest, 500, VIRTIO_BLK_T_IN, 1, kSector).head);
    guest.kick();
    reap(guest, 501);
    EXPECT_EQ(watched.last_by_guest(), 0u);  // the last one of the kick was the first of these
  }
  EXPECT(watched.by_guest() > 0);
}

TEST(kicks_that_were_served_before_their_handler_ran_are_no_mistake) {
  for (int device = 0; device < 30; device++) {
    DeviceFixture bench({.loop = kBorrowable});
    RawGuest guest = bench.guest();
    for (int restart = 0; restart < 10; restart++) {
      for (int i = 0; i < 3; i++) expect_serves(guest);
      must(guest.restart(kNoEventIndex));
    }
    EXPECT_EQ(bench.guest_errors(GuestRule::kKickBeforeRing), 0u);
  }
}

}  // namespace
}  // namespace acrn
