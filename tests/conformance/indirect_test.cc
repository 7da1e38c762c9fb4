// Indirect tables: what is refused and what is legal (virtio 0.9.5 2.3.3, virtio 1.2 2.7.5.3; row Q7).
// COVERS(ring.indirect, ring.long-table, ring.indirect-off)
#include <array>
#include <functional>

#include "tests/conformance/spoiled_chain.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint16_t kNext = VRING_DESC_F_NEXT, kWrite = VRING_DESC_F_WRITE, kIndirect = VRING_DESC_F_INDIRECT;
constexpr uint32_t kThree = 3 * sizeof(VringDesc);

using Spoil = std::function<void(GoodRead&, Gpa table)>;

void check_refused(bool answered, GuestRule rule, const Spoil& spoil, uint64_t features = kNoEventIndex,
                   FixtureOptions options = {}) {
  DeviceFixture bench(std::move(options));
  RawGuest guest = bench.guest(features);
  GoodRead read(guest);
  const Gpa table = read.indirect();
  spoil(read, table);
  read.expect(answered, bench);
  EXPECT_EQ(bench.guest_errors(rule), 1u);
  EXPECT(bench.disk().take_seen().empty());
  expect_serves(guest);
}

void check_length(bool answered, uint32_t length) {
  row("length " + std::to_string(length), [&] {
    check_refused(answered, GuestRule::kIndirectLength,
                  [&](GoodRead& r, Gpa table) { r.guest.set(0, table, length, kIndirect); });
  });
}

// Where the table is not to be read, the status is not known.
void check_address(const char* name, Gpa gpa, FixtureOptions options = {}) {
  const GuestRule rule = options.hole_is_ram ? GuestRule::kMemoryUnreachable : GuestRule::kIndirectNotInRam;
  row(name, [&] {
    check_refused(
        kStops, rule, [&](GoodRead& r, Gpa) { r.guest.set(0, gpa, kThree, kIndirect); }, kNoEventIndex,
        std::move(options));
  });
}

TEST(a_good_table_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  read.indirect();
  read.expect_done();
}

// COVERS(Q7): indirect: nested
TEST(an_indirect_table_inside_an_indirect_table_is_refused) {
  check_refused(kAnswered, GuestRule::kIndirectNested, [](GoodRead& r, Gpa table) {
    const Gpa inner = r.guest.memory(sizeof(VringDesc));
    r.entry(inner, 0, {raw(r.status), uint32_t{1}, kWrite, uint16_t{0}});
    r.entry(table, 2, {raw(inner), uint32_t{sizeof(VringDesc)}, kIndirect, uint16_t{0}});
  });
}

// COVERS(Q7): indirect: nested
TEST(indirect_tables_inside_each_other_are_walked_a_bounded_number_of_steps) {
  for (const uint16_t own : {uint16_t{0}, uint16_t{1}}) {
    check_refused(kStops, GuestRule::kIndirectNested, [own](GoodRead& r, Gpa table) {
      r.entry(table, own, {raw(table), kThree, kIndirect, uint16_t{0}});
    });
  }
  check_refused(kStops, GuestRule::kIndirectNested, [](GoodRead& r, Gpa table) {
    const Gpa other = r.guest.memory(kThree);
    r.entry(table, 0, {raw(other), kThree, kIndirect, uint16_t{0}});
    r.entry(other, 0, {raw(table), kThree, kIndirect, uint16_t{0}});
  });
}

// COVERS(Q7): indirect: length 0
TEST(an_indirect_table_of_length_0_is_refused) { check_length(kStops, 0); }

// COVERS(Q7): indirect: not a multiple of 16
TEST(an_indirect_table_that_is_not_a_multiple_of_16_is_refused) {
  for (const uint32_t length : {1u, 8u, 15u, 17u, 47u}) check_length(kStops, length);
  check_length(kAnswered, 49u);  // the chain in it is whole
}

// COVERS(Q7): indirect: longer than 1024 descriptors
TEST(an_indirect_table_longer_than_1024_descriptors_is_refused) {
  for (const uint32_t length : {1025u * 16, 4096u * 16}) check_length(kAnswered, length);
  for (const uint32_t length : {0x8000'0000u, 0xffff'fff0u}) check_length(kStops, length);  // not in RAM
}

// COVERS(Q7): indirect: with WRITE, served
TEST(an_indirect_descriptor_with_write_is_served_and_counted) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  guest.set(0, read.indirect(), kThree, kIndirect | kWrite);
  read.expect_done();
  EXPECT_EQ(bench.guest_errors(GuestRule::kIndirectWithWrite), 1u);
}

// COVERS(Q7): indirect: with NEXT
TEST(an_indirect_descriptor_with_next_is_refused) {
  check_refused(kStops, GuestRule::kIndirectWithNext,
                [](GoodRead& r, Gpa table) { r.guest.set(0, table, kThree, kIndirect | kNext, 1); });
}

// COVERS(Q7): indirect: unmapped
// COVERS(Q18): RAM that the VMM granted and we cannot reach: table
TEST(an_indirect_table_that_is_not_mapped_is_refused) {
  check_address("address 0", Gpa{0});
  check_address("in a BAR", Gpa{LoopbackMachine::kFirstMemoryBar});
  check_address("the last byte", Gpa{~uint64_t{0}});
  check_address("wraps", Gpa{~uint64_t{0} - 31});
  check_address("in a hole", DeviceFixture::kHole, {.hole = true});
  check_address("in RAM that is out of reach", DeviceFixture::kHole, {.hole = true, .hole_is_ram = true});
}

// COVERS(Q7): indirect: across a RAM end
TEST(an_indirect_table_across_a_ram_end_is_refused) {
  check_address("start", Gpa{LoopbackMachine::kRamBase - 16});
  check_address("end", Gpa{raw(DeviceFixture().ram_end()) - 16});
  check_address("into a hole", Gpa{raw(DeviceFixture::kHole) - 16}, {.hole = true});
  check_address("out of a hole", Gpa{raw(DeviceFixture::kHole) + kMiB - 16}, {.hole = true});
}

// COVERS(Q7): indirect: feature not accepted
TEST(an_indirect_table_without_the_feature_is_refused) {
  check_refused(
      kAnswered, GuestRule::kIndirectNotAccepted, [](GoodRead&, Gpa) {},
      kNoEventIndex & ~feature(VIRTIO_RING_F_INDIRECT_DESC));
}

// COVERS(Q1): loop of descriptors, direct and indirect
TEST(a_loop_in_an_indirect_table_is_walked_a_bounded_number_of_steps) {
  for (const uint16_t next : std::array<uint16_t, 3>{0, 1, 2}) {
    check_refused(kStops, GuestRule::kChainTooLong, [&](GoodRead& r, Gpa table) {
      r.entry(table, 2, {raw(r.status), uint32_t{1}, uint16_t{kNext | kWrite}, next});
    });
  }
}

TEST(a_next_index_outside_the_indirect_table_is_not_followed) {
  for (const uint16_t next : std::array<uint16_t, 5>{3, 4, 63, 64, 0xffff}) {
    check_refused(kStops, GuestRule::kNextOutOfRange, [&](GoodRead& r, Gpa table) {
      r.entry(table, 1, {raw(r.data.gpa()), kSector, uint16_t{kNext | kWrite}, next});
    });
  }
}

TEST(a_buffer_of_an_indirect_table_outside_ram_is_refused) {
  check_refused(kAnswered, GuestRule::kBufferNotInRam, [](GoodRead& r, Gpa table) {
    r.entry(table, 1, {uint64_t{0}, kSector, uint16_t{kNext | kWrite}, uint16_t{2}});
  });
}

TEST(a_table_at_an_odd_address_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  const Gpa table = read.indirect();
  std::byte copy[kThree];
  guest.at(table, kThree).copy_out(0, copy, kThree);
  const Gpa odd{raw(table) + 1};
  guest.at(odd, kThree).copy_in(0, copy, kThree);
  guest.set(0, odd, kThree, kIndirect);
  read.expect_done();
}

TEST(direct_descriptors_before_an_indirect_one_are_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest);
  const Gpa table = read.indirect();
  guest.set(1, Gpa{raw(table) + sizeof(VringDesc)}, 2 * sizeof(VringDesc), kIndirect);
  read.entry(table, 1, {raw(read.data.gpa()), kSector, uint16_t{kNext | kWrite}, uint16_t{1}});
  guest.set(0, read.header, 16, kNext, 1);
  read.expect_done();
}

// Header, `pieces` single sectors and a status: pieces + 2 entries, `direct` of them in the ring. Returns the table.
Gpa split_chain(GoodRead& read, uint16_t pieces, uint16_t direct) {
  RawGuest& guest = read.guest;
  const Gpa table = guest.memory((pieces + 2) * sizeof(VringDesc));
  for (uint16_t i = 0; i < pieces + 2; i++) {
    VringDesc desc{raw(read.data.gpa()) + (i - 1) * kSector, kSector, uint16_t{kNext | kWrite},
                   static_cast<uint16_t>(i + 1)};
    if (i == 0) desc.addr = raw(read.header), desc.len = uint32_t{16}, desc.flags = kNext;
    if (i == pieces + 1) desc.addr = raw(read.status), desc.len = uint32_t{1}, desc.flags = kWrite;
    if (i < direct) {
      guest.ring().write_desc(i, desc);
    } else {
      desc.next = static_cast<uint16_t>(i + 1 - direct);
      read.entry(table, static_cast<uint16_t>(i - direct), desc);
    }
  }
  guest.set(direct, table, static_cast<uint32_t>((pieces + 2 - direct) * sizeof(VringDesc)), kIndirect);
  return table;
}

TEST(a_table_as_long_as_the_ring_is_served) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GoodRead read(guest, 62 * kSector);
  split_chain(read, 62, 0);
  read.expect_done();
}

// What Windows' drivers do (up to 515 descriptors), whatever seg_max says.
// COVERS(Q2): chain longer than the ring
TEST(a_chain_longer_than_the_ring_is_served_up_to_1024_descriptors_and_counted) {
  struct {
    uint16_t ring, pieces, direct;
    GuestRule counted;
    uint64_t times;
  } const cases[] = {
      {64, 62, 10, GuestRule::kChainTooLong, 0},    {64, 63, 10, GuestRule::kChainTooLong, 1},
      {64, 63, 0, GuestRule::kIndirectLength, 1},   {64, 128, 0, GuestRule::kIndirectLength, 1},
      {64, 513, 0, GuestRule::kIndirectLength, 1},  {64, 1022, 0, GuestRule::kIndirectLength, 1},
      {64, 1022, 5, GuestRule::kIndirectLength, 1}, {2, 1022, 0, GuestRule::kIndirectLength, 1},
      {128, 513, 1, GuestRule::kIndirectLength, 1}, {1024, 1022, 3, GuestRule::kIndirectLength, 0},
  };
  for (const auto& each : cases) {
    row(std::to_string(each.pieces) + " pieces on a ring of " + std::to_string(each.ring), [&] {
      DeviceFixture bench({.device = {.queue_size = each.ring}});
      RawGuest guest = bench.guest();
      GoodRead read(guest, each.pieces * kSector);
      split_chain(read, each.pieces, each.direct);
      read.expect_done();
      EXPECT_EQ(bench.guest_errors(each.counted), each.times);
    });
  }
}

// COVERS(Q2): chain longer than the ring
TEST(a_chain_longer_than_1024_descriptors_is_an_error) {
  for (const uint16_t direct : {uint16_t{0}, uint16_t{7}}) {
    DeviceFixture bench;
    RawGuest guest = bench.guest();
    GoodRead read(guest, 1023 * kSector);
    split_chain(read, 1023, direct);
    read.expect(direct == 0 ? kStops : kAnswered, bench);
    expect_serves(guest);
  }
}

// COVERS(Q2): chain longer than the ring
TEST(a_long_chain_of_a_write_reaches_every_engine_whole) {
  TempDir directory;
  const std::string path = directory.path("disk");
  for (const bool nocache : {false, true}) {
    write_pattern(path, kMiB);
    DeviceFixture bench({.backend = open_backend({.source = FilePath{path}, .writeback = true, .nocache = nocache})});
    RawGuest guest = bench.guest();
    GoodRead long_read(guest, 1022 * kSector);
    split_chain(long_read, 1022, 0);
    long_read.expect_done();
    GoodRead write(guest, 1022 * kSector);
    write.data.refill(0x77);
    const Gpa table = split_chain(write, 1022, 0);
    guest.at(write.header, 16).store(0, VirtioBlkOuthdr{VIRTIO_BLK_T_OUT, uint32_t{0}, uint64_t{8}});
    for (uint16_t i = 1; i < 1023; i++) {
      write.entry(table, i, {raw(write.data.gpa()) + (i - 1) * kSector, kSector, kNext, static_cast<uint16_t>(i + 1)});
    }
    EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
    EXPECT_EQ(guest.byte(write.status), VIRTIO_BLK_S_OK);
    const auto content = file_content(path);
    for (size_t i = 0; i < content.size(); i++) {
      const bool written = i >= 8 * kSector && i < 1030 * kSector;
      EXPECT(content[i] == (written ? std::byte{0x77} : pattern(i)));
    }
  }
}

}  // namespace
}  // namespace acrn
