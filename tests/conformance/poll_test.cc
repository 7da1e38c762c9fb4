// --virtio_poll: a timer looks at the rings, and the driver need not kick (device.md 1).
#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint32_t kOften = 50'000;          // nanoseconds
constexpr uint32_t kSeldom = 4'000'000'000;  // so that what happens is not the timer's doing

// COVERS(device page, 1): a polled queue is served without kicks
TEST(a_driver_that_never_kicks_is_served) {
  for (const uint64_t features : {kNoEventIndex, kAllFeatures}) {
    DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
    RawGuest guest = bench.guest(features);
    for (uint16_t head = 0; head < 20; head++) {
      const auto ready = ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector);
      guest.offer(head);
      EXPECT(wait_until([&] { return guest.ring().used_index() == head + 1; }));
      EXPECT_EQ(guest.byte(ready.status), VIRTIO_BLK_S_OK);
      EXPECT(ready.data.holds_disk(head * kSector));
    }
    EXPECT_EQ(bench.device().stats(0).kicks, 0u);
    EXPECT(bench.device().stats(0).polls >= 20);
  }
}

// COVERS(device page, 1): a polled queue's driver is told not to kick, by flag
TEST(kicks_are_suppressed_by_flag_while_the_queue_runs) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
  RawGuest guest = bench.guest();
  EXPECT_EQ(guest.ring().used_flags(), VRING_USED_F_NO_NOTIFY);
  expect_serves(guest);
  EXPECT_EQ(guest.ring().used_flags(), VRING_USED_F_NO_NOTIFY);
}

// A request from time to time as well as many at once, for more requests than an index has values.
// COVERS(device page, 1): a polled queue's driver is told not to kick, by event index
TEST(kicks_are_suppressed_by_event_index_also_where_the_index_wraps) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
  const auto driver = bench.driver({.features = kAllFeatures, .depth = 32});
  DriverQueue& queue = driver->queue(0);
  constexpr unsigned kRequests = 0x10000 + 1000;
  unsigned started = 0, done = 0;
  const auto start = [&](uint16_t tag) {
    if (started < kRequests) queue.start(tag, VIRTIO_BLK_T_FLUSH, 0, 0, true), started++;
  };
  for (unsigned tag = 0; tag < queue.depth(); tag++) start(static_cast<uint16_t>(tag));
  while (done < kRequests) {
    queue.kick();
    EXPECT(queue.reap([&](const DriverCompletion& completion) {
      done++;
      start(completion.tag);
    }));
  }
  EXPECT_EQ(queue.counters().kicks, 0u);
  EXPECT_EQ(queue.ring().used_flags(), 0);
}

TEST(a_kick_that_comes_nevertheless_is_served) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kSeldom}});
  RawGuest guest = bench.guest();
  expect_serves(guest);
  EXPECT(bench.device().stats(0).kicks >= 3);
  EXPECT_EQ(bench.device().stats(0).polls, 0u);
  EXPECT_EQ(guest.ring().used_flags(), VRING_USED_F_NO_NOTIFY);
}

TEST(features_that_are_accepted_after_the_ring_was_set_up_count_from_the_next_look_on) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
  RawGuest guest = bench.guest();
  GuestFunction& function = guest.function();
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  function.out(VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
  const DriverRing ring = must(create_ring(bench.machine(), guest.size(), 0, true));
  function.out(VIRTIO_PCI_QUEUE_PFN, 4, ring.pfn());
  EXPECT_EQ(ring.used_flags(), VRING_USED_F_NO_NOTIFY);
  function.out(VIRTIO_PCI_GUEST_FEATURES, 4, static_cast<uint32_t>(feature(VIRTIO_RING_F_EVENT_IDX)));
  EXPECT(wait_until([&] { return ring.used_flags() == 0 && ring.wanted_kick() == 0x8000; }));
}

// COVERS(device page, 1): a reset ends the polling of a queue
TEST(reset_ends_the_polling_until_the_queue_is_set_up_again) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
  RawGuest guest = bench.guest();
  ready_request(guest, 0, VIRTIO_BLK_T_FLUSH, 0, 0);
  guest.offer(0);
  EXPECT(wait_until([&] { return guest.ring().used_index() == 1; }));
  guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
  const uint64_t polls = bench.device().stats(0).polls;
  guest.offer(0);
  for (int i = 0; i < 100; i++) bench.settle();
  EXPECT_EQ(bench.device().stats(0).polls, polls);
  EXPECT_EQ(guest.ring().used_index(), 1);
  EXPECT_EQ(bench.guest_errors(GuestRule::kKickBeforeRing), 0u);
  expect_serves_after_restart(guest);
  EXPECT(wait_until([&] { return bench.device().stats(0).polls > polls; }));
}

TEST(reset_while_polling_waits_for_64_requests_in_flight) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
  RawGuest guest = bench.guest();
  bench.faults().hold();
  for (uint16_t head = 0; head < 64; head++) {
    ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector);
    guest.offer(head);
  }
  bench.faults().wait_for_held(64);
  expect_waits_for_release(bench.faults(), [&] { guest.function().out(VIRTIO_PCI_STATUS, 1, 0); });
  expect_serves_after_restart(guest);
}

TEST(a_broken_queue_is_reported_once_however_often_it_is_looked_at) {
  DeviceFixture bench({.device = {.poll_nanoseconds = kOften}});
  RawGuest guest = bench.guest();
  guest.ring().write_avail_index(1000);
  EXPECT(wait_until([&] { return bench.guest_errors(GuestRule::kAvailIndexJump) == 1; }));
  const uint64_t polls = bench.device().stats(0).polls;
  EXPECT(wait_until([&] { return bench.device().stats(0).polls > polls + 5; }));
  EXPECT_EQ(bench.guest_errors(GuestRule::kAvailIndexJump), 1u);
  expect_serves_after_restart(guest);
}

TEST(queues_of_several_loops_are_polled_each_on_its_own) {
  DeviceFixture bench({.device = {.queues = 3, .poll_nanoseconds = kOften}, .loops = 2});
  const auto driver = bench.driver({.depth = 4});
  for (unsigned index = 0; index < 3; index++) {
    DriverQueue& queue = driver->queue(index);
    for (uint16_t tag = 0; tag < 4; tag++) queue.start(tag, VIRTIO_BLK_T_FLUSH, 0, 0, true);
    queue.ring().expose();
    EXPECT(wait_until([&] { return queue.ring().used_index() == 4; }));
    EXPECT_EQ(bench.device().stats(index).kicks, 0u);
  }
}

}  // namespace
}  // namespace acrn
