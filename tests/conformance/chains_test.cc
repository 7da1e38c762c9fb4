// Direct descriptor chains: loops, wild next indices, buffers that are not in RAM, empty descriptors, sums of
// lengths (virtio 0.9.5 2.3.2; hostile-guest rows Q1, Q2, Q3, Q8, Q9, Q10).
// COVERS(ring.framing, ring.no-status, ring.loop, ring.next, ring.buffers)
#include <functional>
#include <tuple>

#include "tests/conformance/spoiled_chain.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint16_t kNext = VRING_DESC_F_NEXT, kWrite = VRING_DESC_F_WRITE;

struct Spoiled {
  const char* name;
  GuestRule rule;
  std::function<void(GoodRead&)> spoil;  // after direct()
  bool answered = kStops;
};

// Each is counted once, writes nothing but its status where that is known, and the queue or its next life goes on.
void check_spoiled(std::span<const Spoiled> cases, FixtureOptions options = {}) {
  DeviceFixture bench(std::move(options));
  RawGuest guest = bench.guest();
  for (const Spoiled& spoiled : cases) {
    row(spoiled.name, [&] {
      const uint64_t before = bench.guest_errors(spoiled.rule);
      GoodRead read(guest);
      read.direct();
      spoiled.spoil(read);
      read.expect(spoiled.answered, bench);
      EXPECT_EQ(bench.guest_errors(spoiled.rule), before + 1);
      EXPECT(bench.disk().take_seen().empty());
      GoodRead good(guest);
      good.direct();
      good.expect_done();
      bench.disk().take_seen();
    });
  }
  expect_serves(guest);
}

// COVERS(Q1): loop of descriptors, direct and indirect
TEST(a_loop_is_walked_a_bounded_number_of_steps) {
  const Spoiled cases[] = {
      {"to itself", GuestRule::kChainTooLong, [](GoodRead& r) { r.guest.set(0, r.header, 16, kNext, 0); }},
      {"of two", GuestRule::kChainTooLong,
       [](GoodRead& r) { r.guest.set(1, r.data.gpa(), kSector, kNext | kWrite, 0); }},
      {"of three", GuestRule::kChainTooLong, [](GoodRead& r) { r.guest.set(2, r.status, 1, kNext | kWrite, 0); }},
      {"of writable ones", GuestRule::kChainTooLong,
       [](GoodRead& r) { r.guest.set(2, r.status, 1, kNext | kWrite, 1); }},
      {"of empty ones", GuestRule::kChainTooLong, [](GoodRead& r) { r.guest.set(0, r.header, 0, kNext, 0); }},
      {"through the whole table", GuestRule::kChainTooLong,
       [](GoodRead& r) {
         for (uint16_t i = 0; i < 64; i++) {
           r.guest.set(i, r.header, 16, kNext, static_cast<uint16_t>((i + 1) % 64));
         }
       }},
  };
  check_spoiled(cases);
}

// COVERS(Q3): head or next past the table, unknown queue
TEST(a_next_index_outside_the_table_is_not_followed) {
  const auto next = [](uint16_t index) {
    return [index](GoodRead& r) { r.guest.set(1, r.data.gpa(), kSector, kNext | kWrite, index); };
  };
  const Spoiled cases[] = {
      {"64", GuestRule::kNextOutOfRange, next(64)},
      {"65", GuestRule::kNextOutOfRange, next(65)},
      {"0x8000", GuestRule::kNextOutOfRange, next(0x8000)},
      {"0xffff", GuestRule::kNextOutOfRange, next(0xffff)},
  };
  check_spoiled(cases);
}

// COVERS(Q2): chain longer than the ring
TEST(a_chain_as_long_as_the_ring_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Guarded data(guest, 62 * kSector);
  std::vector<RawGuest::Piece> pieces{{guest.header(VIRTIO_BLK_T_IN, 0), 16, false}};
  for (uint32_t i = 0; i < 62; i++) pieces.push_back({Gpa{raw(data.gpa()) + i * kSector}, kSector, true});
  pieces.push_back({guest.status(), 1, true});
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 62 * kSector + 1);
  EXPECT(data.holds_disk(0));
}

constexpr uint64_t kTop = ~uint64_t{0};

// The same wrong address as header, data and status; the last byte of each is not in RAM.
void check_wrong_buffer(const char* name, Gpa gpa, uint32_t length, FixtureOptions options = {}) {
  const Spoiled cases[] = {
      {"header", GuestRule::kBufferNotInRam, [=](GoodRead& r) { r.guest.set(0, gpa, length, kNext, 1); }, kAnswered},
      {"data", GuestRule::kBufferNotInRam, [=](GoodRead& r) { r.guest.set(1, gpa, length, kNext | kWrite, 2); },
       kAnswered},
      {"status", GuestRule::kBufferNotInRam, [=](GoodRead& r) { r.guest.set(2, gpa, length, kWrite); }},
  };
  row(name, [&] { check_spoiled(cases, std::move(options)); });
}

// COVERS(Q8): buffer at 0, outside RAM, wrapping
TEST(a_buffer_outside_ram_is_refused) {
  const Gpa end = DeviceFixture().ram_end();
  check_wrong_buffer("address 0", Gpa{0}, 16);
  check_wrong_buffer("below RAM", Gpa{LoopbackMachine::kRamBase - 16}, 16);
  check_wrong_buffer("across the end of RAM", Gpa{raw(end) - 1}, 2);
  check_wrong_buffer("behind RAM", end, 1);
  check_wrong_buffer("in a BAR", Gpa{LoopbackMachine::kFirstMemoryBar}, 16);
  check_wrong_buffer("the MSI address", Gpa{LoopbackMachine::kMsiAddress}, 4);
  check_wrong_buffer("the last byte", Gpa{kTop}, 1);
  check_wrong_buffer("address and length wrap", Gpa{kTop - 15}, 32);
  check_wrong_buffer("wraps to RAM", Gpa{kTop}, 0x0200'0000);
  check_wrong_buffer("4 GiB long", Gpa{LoopbackMachine::kRamBase}, 0xffffffff);
}

// COVERS(Q8): buffer in a hole; straddling a RAM end
TEST(a_buffer_in_or_across_a_hole_is_refused_and_the_hole_stays_as_it_is) {
  const uint64_t hole = raw(DeviceFixture::kHole);
  check_wrong_buffer("in the hole", DeviceFixture::kHole, 16, {.hole = true});
  check_wrong_buffer("into the hole", Gpa{hole - 1}, 2, {.hole = true});
  check_wrong_buffer("over its start", Gpa{hole - kSector}, kMiB, {.hole = true});
}

// COVERS(Q9): a status byte that begins outside RAM
TEST(a_writable_buffer_that_begins_outside_ram_has_the_error_in_its_last_byte) {
  const uint64_t hole = raw(DeviceFixture::kHole);
  const std::tuple<const char*, uint64_t, uint32_t> cases[] = {
      {"across the start of RAM", LoopbackMachine::kRamBase - 1, 16},
      {"out of the hole", hole + kMiB - 1, 2},
      {"over the hole", hole - kSector, kMiB + 2 * kSector},
  };
  for (const auto& [name, gpa, length] : cases) {
    row(name, [&, gpa = gpa, length = length] {
      DeviceFixture bench({.hole = true});
      RawGuest guest = bench.guest();
      GoodRead read(guest);
      read.direct();
      guest.set(1, Gpa{gpa}, length, kWrite);
      EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
      EXPECT_EQ(guest.byte(Gpa{gpa + length - 1}), VIRTIO_BLK_S_IOERR);
      EXPECT_EQ(bench.guest_errors(GuestRule::kBufferNotInRam), 1u);
      expect_serves(guest);
    });
  }
}

// RAM that the guest has and the VMM did not let us reach (row Q18).
// COVERS(Q18): RAM that the VMM granted and we cannot reach: buffers
TEST(a_buffer_in_ram_that_is_out_of_reach_is_an_error_and_the_vmms_fault) {
  const uint64_t hole = raw(DeviceFixture::kHole);
  const std::tuple<const char*, uint16_t, uint64_t, uint32_t, uint16_t, bool> cases[] = {
      {"header", 0, hole, 16, kNext, kAnswered},
      {"header, at its end", 0, hole + kMiB - 16, 16, kNext, kAnswered},
      {"data", 1, hole + 4096, kSector, kNext | kWrite, kAnswered},
      {"data, into it", 1, hole - 256, kSector, kNext | kWrite, kAnswered},
      {"data, out of it", 1, hole + kMiB - 256, kSector, kNext | kWrite, kAnswered},
      {"data, over it", 1, hole - kSector, kMiB + 2 * kSector, kNext | kWrite, kAnswered},
      {"status", 2, hole, 1, kWrite, kStops},
  };
  for (const auto& [name, index, gpa, length, flags, answered] : cases) {
    row(name, [&, index = index, gpa = gpa, length = length, flags = flags, answered = answered] {
      DeviceFixture bench({.hole = true, .hole_is_ram = true});
      RawGuest guest = bench.guest();
      GoodRead read(guest);
      read.direct();
      guest.set(index, Gpa{gpa}, length, flags, static_cast<uint16_t>(index + 1));
      read.expect(answered, bench);
      EXPECT_EQ(bench.guest_errors(GuestRule::kMemoryUnreachable), 1u);
      EXPECT_EQ(bench.guest_errors(GuestRule::kBufferNotInRam), 0u);
      EXPECT(bench.disk().take_seen().empty());
      expect_serves(guest);
    });
  }
}

// COVERS(Q18): RAM that the VMM granted and we cannot reach: buffers
TEST(a_write_from_ram_that_is_out_of_reach_is_not_carried_out) {
  DeviceFixture bench({.hole = true, .hole_is_ram = true});
  RawGuest guest = bench.guest();
  const Gpa status = guest.status();
  const RawGuest::Piece pieces[] = {
      {guest.header(VIRTIO_BLK_T_OUT, 0), 16, false}, {DeviceFixture::kHole, kSector, false}, {status, 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 1u);
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
  EXPECT(bench.disk().untouched());
  EXPECT_EQ(bench.guest_errors(GuestRule::kMemoryUnreachable), 1u);
}

// COVERS(Q8): buffer in a hole; straddling a RAM end
TEST(a_read_across_the_end_of_ram_writes_nothing_before_it) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Gpa last{raw(bench.ram_end()) - 256};
  GoodRead read(guest);
  read.direct();
  guest.set(1, last, kSector, kNext | kWrite, 2);
  read.expect_error();
  for (uint64_t i = 0; i < 256; i++) EXPECT_EQ(guest.byte(Gpa{raw(last) + i}), 0);
  expect_serves(guest);
}

TEST(a_buffer_that_ends_where_ram_ends_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Gpa last{raw(bench.ram_end()) - kSector - 1};
  const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false}, {last, kSector + 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, kSector + 1);
  EXPECT_EQ(guest.byte(last), static_cast<uint8_t>(pattern(0)));
  EXPECT_EQ(guest.byte(Gpa{raw(last) + kSector}), VIRTIO_BLK_S_OK);
}

// COVERS(Q9): empty descriptors everywhere
TEST(empty_descriptors_are_skipped_at_every_position) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (size_t at = 0; at < 4; at++) {
    for (const bool writable : {false, true}) {
      for (const Gpa gpa : {Gpa{0}, Gpa{LoopbackMachine::kRamBase}, Gpa{kTop}}) {
        GoodRead read(guest);
        std::vector<RawGuest::Piece> pieces{
            {read.header, 16, false}, {read.data.gpa(), kSector, true}, {read.status, 1, true}};
        pieces.insert(pieces.begin() + static_cast<ptrdiff_t>(at), {gpa, 0, writable});
        guest.chain(0, pieces);
        row("position " + std::to_string(at), [&] { read.expect_done(); });
      }
    }
  }
}

// COVERS(Q9): empty descriptors everywhere
TEST(a_chain_of_empty_descriptors_has_no_status_and_stops_the_queue) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  const RawGuest::Piece pieces[] = {{read.header, 0, false}, {read.data.gpa(), 0, true}, {read.status, 0, true}};
  guest.chain(0, pieces);
  read.expect(kStops, bench);
  EXPECT_EQ(bench.guest_errors(GuestRule::kStatusMissing), 1u);
  expect_serves(guest);
}

// `count` descriptors over all of the RAM behind a header, and a status byte.
void chain_over_ram(DeviceFixture& bench, RawGuest& guest, GoodRead& read, unsigned count) {
  const uint32_t ram = static_cast<uint32_t>(raw(bench.ram_end()) - LoopbackMachine::kRamBase);
  std::vector<RawGuest::Piece> pieces{{read.header, 16, false}};
  for (unsigned i = 0; i < count; i++) pieces.push_back({Gpa{LoopbackMachine::kRamBase}, ram, true});
  pieces.push_back({read.status, 1, true});
  guest.chain(0, pieces);
}

// COVERS(Q10): lengths sum past 2^32
TEST(lengths_that_sum_past_4_gib_are_refused) {
  DeviceFixture bench({.ram = 256 * kMiB});
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  chain_over_ram(bench, guest, read, 16);  // 4 GiB and 17 bytes
  read.expect_error();
  EXPECT_EQ(bench.guest_errors(GuestRule::kLengthsOverflow), 1u);
  expect_serves(guest);
}

TEST(lengths_that_sum_to_almost_4_gib_are_a_request_past_the_end) {
  DeviceFixture bench({.ram = 256 * kMiB});
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  chain_over_ram(bench, guest, read, 15);
  EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
  EXPECT_EQ(guest.byte(read.status), VIRTIO_BLK_S_IOERR);
  EXPECT(read.data.untouched());
  EXPECT_EQ(bench.guest_errors(GuestRule::kSectorPastEnd), 1u);
  expect_serves(guest);
}

// COVERS(B3): data in the wrong direction
TEST(a_readable_descriptor_behind_a_writable_one_is_an_error_in_the_last_writable_byte) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  const RawGuest::Piece pieces[] = {
      {read.header, 16, false}, {read.data.gpa(), kSector, true}, {read.header, 16, false}, {read.status, 1, true}};
  guest.chain(0, pieces);
  EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
  EXPECT_EQ(guest.byte(read.status), VIRTIO_BLK_S_IOERR);
  EXPECT(read.data.untouched());
  EXPECT_EQ(bench.guest_errors(GuestRule::kReadableAfterWritable), 1u);
  EXPECT(bench.disk().take_seen().empty());
  expect_serves(guest);
}

// COVERS(B3): data in the wrong direction
TEST(readable_descriptors_behind_the_last_writable_one_are_an_error_in_that_ones_last_byte) {
  const auto behind = [](Gpa gpa, uint32_t length) {
    return [=](GoodRead& r) {
      r.guest.set(2, r.status, 1, kNext | kWrite, 3);
      r.guest.set(3, gpa, length, kNext, 4);
      r.guest.set(4, r.header, 16);
    };
  };
  const Gpa end = DeviceFixture().ram_end();
  const Spoiled cases[] = {
      {"in RAM", GuestRule::kReadableAfterWritable, behind(Gpa{LoopbackMachine::kRamBase}, kSector), kAnswered},
      {"empty", GuestRule::kReadableAfterWritable, behind(Gpa{0}, 0), kAnswered},
      {"behind RAM", GuestRule::kReadableAfterWritable, behind(end, kSector), kAnswered},
      {"and an empty writable one", GuestRule::kReadableAfterWritable,
       [](GoodRead& r) {
         r.guest.set(2, r.status, 1, kNext | kWrite, 3);
         r.guest.set(3, r.header, 16, kNext, 4);
         r.guest.set(4, r.data.gpa(), 0, kWrite);
       },
       kAnswered},
      {"and a writable one behind RAM", GuestRule::kReadableAfterWritable,
       [end](GoodRead& r) {
         r.guest.set(2, r.status, 1, kNext | kWrite, 3);
         r.guest.set(3, r.header, 16, kNext, 4);
         r.guest.set(4, end, 1, kWrite);
       }},
      {"and a loop", GuestRule::kChainTooLong,
       [](GoodRead& r) {
         r.guest.set(2, r.status, 1, kNext | kWrite, 3);
         r.guest.set(3, r.header, 16, kNext, 3);
       }},
  };
  check_spoiled(cases);
}

TEST(a_readable_descriptor_behind_the_last_writable_one_of_a_table_is_an_error_in_that_ones_last_byte) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  const Gpa table = read.indirect();
  read.entry(table, 2, {raw(read.status), uint32_t{1}, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, uint16_t{3}});
  read.entry(table, 3, {raw(read.header), uint32_t{16}, uint16_t{0}, uint16_t{0}});
  guest.set(0, table, 4 * sizeof(VringDesc), VRING_DESC_F_INDIRECT);
  read.expect_error();
  EXPECT_EQ(bench.guest_errors(GuestRule::kReadableAfterWritable), 1u);
  expect_serves(guest);
}

}  // namespace
}  // namespace acrn
