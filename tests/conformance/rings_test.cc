// The ring itself: indices, heads, where it lies, its sizes, and several of them (virtio 0.9.5 2.3; rows Q3,
// Q4, Q5, Q11, Q12).
// COVERS(reg.ring-in-ram, ring.unusable, ring.early-kicks)
#include <array>

#include "tests/conformance/spoiled_chain.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// The queue yields nothing more, touches nothing more and costs nothing, until it is set up again.
void expect_broken_until_restart(DeviceFixture& bench, RawGuest& guest) {
  bench.settle();
  const uint16_t used = guest.ring().used_index();
  GoodRead read(guest);
  read.direct();
  for (uint16_t slot = 0; slot < guest.size(); slot++) guest.ring().write_avail_entry(slot, 0);
  guest.ring().write_avail_index(static_cast<uint16_t>(guest.ring().avail_index() + 1));
  guest.kick();
  bench.settle();
  EXPECT_EQ(guest.ring().used_index(), used);
  EXPECT_EQ(guest.byte(read.status), RawGuest::kNoStatus);
  EXPECT(read.data.untouched());
  expect_serves_after_restart(guest);
}

// COVERS(Q3): head or next past the table, unknown queue
TEST(a_head_outside_the_table_breaks_the_queue_until_reset) {
  for (const uint16_t head : std::array<uint16_t, 4>{64, 65, 0x8000, 0xffff}) {
    row("head " + std::to_string(head), [&] {
      DeviceFixture bench;
      RawGuest guest = bench.guest();
      expect_serves(guest);
      guest.offer(head);
      guest.kick();
      bench.settle();
      EXPECT_EQ(bench.guest_errors(GuestRule::kHeadOutOfRange), 1u);
      expect_broken_until_restart(bench, guest);
    });
  }
}

TEST(what_was_available_before_a_bad_head_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const auto first = ready_request(guest, 1, VIRTIO_BLK_T_IN, 0, kSector);
  const auto third = ready_request(guest, 3, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(1);
  guest.offer(64);
  guest.offer(3);
  guest.kick();
  EXPECT_EQ(uint32_t{reap(guest, 1)[0].id}, 1u);
  EXPECT(first.data.holds_disk(0));
  bench.settle();
  EXPECT_EQ(guest.ring().used_index(), 1);
  EXPECT(third.data.untouched());
  expect_serves_after_restart(guest);
}

// COVERS(Q4): `avail.idx` jumps
TEST(an_available_index_that_jumps_breaks_the_queue_until_reset) {
  for (const int jump : {65, 66, 128, 0x7fff, 0x8000, -1, -2, -64}) {
    row("jump by " + std::to_string(jump), [&] {
      DeviceFixture bench;
      RawGuest guest = bench.guest();
      expect_serves(guest);
      guest.ring().write_avail_index(static_cast<uint16_t>(guest.ring().avail_index() + jump));
      guest.kick();
      bench.settle();
      EXPECT_EQ(bench.guest_errors(GuestRule::kAvailIndexJump), 1u);
      expect_broken_until_restart(bench, guest);
    });
  }
}

TEST(requests_in_flight_complete_when_the_queue_breaks) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  const auto ready = ready_request(guest, 7, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(7);
  guest.kick();
  bench.faults().wait_for_held(1);
  guest.ring().write_avail_index(1000);
  guest.kick();
  bench.settle();
  EXPECT_EQ(bench.guest_errors(GuestRule::kAvailIndexJump), 1u);
  bench.faults().release();
  EXPECT_EQ(uint32_t{reap(guest, 1)[0].len}, kSector + 1);
  EXPECT(ready.data.holds_disk(0));
  expect_serves_after_restart(guest);
}

TEST(a_full_ring_of_available_entries_is_no_jump) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  std::vector<ReadyRequest> all;
  for (uint16_t head = 0; head < 64; head++) {
    all.push_back(ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector));
    guest.offer(head);
  }
  guest.kick();
  reap(guest, 64);
  for (uint16_t head = 0; head < 64; head++) EXPECT(all[head].data.holds_disk(head * kSector));
}

// COVERS(Q5): the same head while in flight
TEST(a_head_that_is_in_flight_stops_the_queue_and_its_slot_is_not_reused) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  const auto first = ready_request(guest, 5, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(5);
  guest.kick();
  bench.faults().wait_for_held(1);
  const auto second = ready_request(guest, 5, VIRTIO_BLK_T_IN, 9, kSector);
  for (int i = 0; i < 3; i++) guest.offer(5);
  guest.kick();
  EXPECT(wait_until([&] { return bench.device().stats(0).stopped; }));
  EXPECT_EQ(bench.guest_errors(GuestRule::kHeadInFlight), 1u);
  bench.faults().release();
  EXPECT_EQ(uint32_t{reap(guest, 1)[0].len}, kSector + 1);
  EXPECT(first.data.holds_disk(0));
  bench.settle();
  EXPECT_EQ(guest.ring().used_index(), 1);
  EXPECT(second.data.untouched());
  EXPECT_EQ(guest.byte(second.status), RawGuest::kNoStatus);
  expect_serves_after_restart(guest);
}

// COVERS(Q18): a ring of zeroes
TEST(a_kick_that_finds_nothing_but_zeroes_is_counted_and_one_after_a_request_is_not) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.kick();
  bench.settle();
  EXPECT_EQ(bench.guest_errors(GuestRule::kRingBlank), 1u);
  expect_serves(guest);
  guest.kick();
  bench.settle();
  EXPECT_EQ(bench.guest_errors(GuestRule::kRingBlank), 1u);
}

// COVERS(Q18): RAM that the VMM granted and we cannot reach: ring
TEST(a_ring_in_ram_that_is_out_of_reach_is_the_vmms_fault) {
  DeviceFixture bench({.hole = true, .hole_is_ram = true});
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_QUEUE_PFN, 4, 0);
  for (const uint64_t place : {raw(DeviceFixture::kHole), raw(DeviceFixture::kHole) - 4096}) {
    guest.function().out(VIRTIO_PCI_QUEUE_PFN, 4, static_cast<uint32_t>(place >> 12));
    EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);
  }
  EXPECT_EQ(bench.guest_errors(GuestRule::kMemoryUnreachable), 2u);
  EXPECT_EQ(bench.guest_errors(GuestRule::kRingNotInRam), 0u);
  expect_serves_after_restart(guest);
}

// COVERS(Q11): ring in unmapped memory, PFN 0, PFN changed
TEST(a_ring_that_is_not_in_ram_is_refused) {
  DeviceFixture bench({.hole = true});
  RawGuest guest = bench.guest();
  const uint64_t end = raw(bench.ram_end()), hole = raw(DeviceFixture::kHole);
  const std::pair<const char*, uint64_t> places[] = {{"below RAM", 0x1000},
                                                     {"across the end", end - 4096},
                                                     {"behind RAM", end},
                                                     {"in a hole", hole},
                                                     {"into a hole", hole - 4096},
                                                     {"in a BAR", LoopbackMachine::kFirstMemoryBar},
                                                     {"pfn 0xffffffff", 0xffffffffull << 12}};
  uint64_t refused = 0;
  for (const auto& entry : places) {
    row(entry.first, [&, place = entry.second] {
      guest.function().out(VIRTIO_PCI_QUEUE_PFN, 4, static_cast<uint32_t>(place >> 12));
      EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);
      EXPECT_EQ(bench.guest_errors(GuestRule::kRingNotInRam), ++refused);
      guest.kick();
      EXPECT_EQ(bench.guest_errors(GuestRule::kRingNotInRam), ++refused);
    });
  }
  expect_serves_after_restart(guest);
}

TEST(a_ring_that_ends_where_ram_ends_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const uint64_t pages = (ring_layout(64).total_bytes + 4095) / 4096;
  const auto pfn = static_cast<uint32_t>((raw(bench.ram_end()) >> 12) - pages);
  guest.function().out(VIRTIO_PCI_QUEUE_PFN, 4, pfn);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_PFN, 4), pfn);
  EXPECT_EQ(bench.guest_errors(GuestRule::kRingNotInRam), 0u);
  expect_serves_after_restart(guest);
}

void write_pfn_while_held(DeviceFixture& bench, RawGuest& guest, uint32_t pfn) {
  expect_waits_for_release(bench.faults(), [&] { guest.function().out(VIRTIO_PCI_QUEUE_PFN, 4, pfn); });
}

// COVERS(Q11): ring in unmapped memory, PFN 0, PFN changed
TEST(pfn_0_tears_the_queue_down_after_a_drain) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  const auto ready = ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(0);
  guest.kick();
  bench.faults().wait_for_held(1);
  write_pfn_while_held(bench, guest, 0);
  EXPECT_EQ(guest.ring().used_index(), 1);
  EXPECT(ready.data.holds_disk(0));
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);
  guest.kick();
  EXPECT(wait_until([&] { return bench.guest_errors(GuestRule::kKickBeforeRing) == 1; }));
  expect_serves_after_restart(guest);
}

// COVERS(Q11): ring in unmapped memory, PFN 0, PFN changed
TEST(a_pfn_changed_after_driver_ok_moves_the_queue_after_a_drain) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  const auto ready = ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(0);
  guest.kick();
  bench.faults().wait_for_held(1);
  DriverRing elsewhere = must(create_ring(bench.machine(), 64, 0, false));
  write_pfn_while_held(bench, guest, elsewhere.pfn());
  EXPECT_EQ(guest.ring().used_index(), 1);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_PFN, 4), elsewhere.pfn());
  const Gpa status = guest.status();
  const GuestBuffer header{guest.header(VIRTIO_BLK_T_FLUSH, 0), 16}, state{status, 1};
  EXPECT(elsewhere.add({&header, 1}, {&state, 1}, 1));
  elsewhere.expose();
  guest.kick();
  EXPECT(wait_until([&] { return elsewhere.used_index() == 1; }));
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.ring().used_index(), 1);
  EXPECT(ready.data.canaries_intact());
  expect_serves_after_restart(guest);
}

// COVERS(Q12): kicks too early; a million kicks
TEST(a_kick_after_a_reset_is_counted_and_ignored) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
  const uint16_t used = guest.ring().used_index();
  guest.kick();
  EXPECT(wait_until([&] { return bench.guest_errors(GuestRule::kKickBeforeRing) == 1; }));
  EXPECT_EQ(guest.ring().used_index(), used);
  expect_serves_after_restart(guest);
}

// COVERS(Q12): kicks too early; a million kicks
TEST(a_kick_before_driver_ok_with_a_valid_ring_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_STATUS, 1, 3);
  expect_serves(guest);
}

// COVERS(device page, 4): any ring size from 2 to 1024 is served
TEST(every_ring_size_from_2_to_1024_serves_more_requests_than_it_has_entries) {
  for (uint16_t size = 2; size <= 1024; size = static_cast<uint16_t>(size * 2)) {
    row("size " + std::to_string(size), [&] {
      DeviceFixture bench({.device = {.queue_size = size}});
      RawGuest guest = bench.guest();
      EXPECT_EQ(guest.size(), size);
      const Gpa header = guest.header(VIRTIO_BLK_T_IN, 3);
      const Guarded data(guest, kSector + 1);
      const RawGuest::Piece pieces[] = {{header, 16, false}, {data.gpa(), kSector + 1, true}};
      for (unsigned i = 0; i < 2u * size + 3; i++) {
        const auto first = static_cast<uint16_t>(i % (size - 1));
        guest.chain(first, pieces);
        const auto used = guest.run(first);
        EXPECT(used.has_value());
        EXPECT_EQ(uint32_t{used->id}, first);
        EXPECT_EQ(uint32_t{used->len}, kSector + 1);
      }
      EXPECT_EQ(data.content()[0], pattern(3 * kSector));
      EXPECT(data.canaries_intact());
    });
  }
}

}  // namespace
}  // namespace acrn
