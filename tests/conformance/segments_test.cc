// DISCARD and WRITE_ZEROES: every segment is checked before the first is carried out (virtio 1.2 5.2.6.1;
// row B8).
// COVERS(blk.not-accepted, blk.segments, blk.write-zeroes)
#include <initializer_list>

#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Segment = VirtioBlkDiscardWriteZeroes;
constexpr uint64_t kCapacity = kMiB / kSector;
constexpr uint32_t kMaxSectors = 1024, kMaxSegments = 8;
constexpr uint32_t kBoth[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};

FixtureOptions discarding() {
  FixtureOptions options;
  options.medium.size = kMiB;
  options.device.discard = true;
  options.device.max_discard_sectors = kMaxSectors;
  options.device.max_discard_segments = kMaxSegments;
  return options;
}

// A whole device for each case: nothing of the list may have been done.
void check_refused(const char* name, std::span<const Segment> list, uint8_t status, GuestRule rule,
                   std::initializer_list<uint32_t> types = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
  for (const uint32_t type : types) {
    row(std::string(name) + " type " + std::to_string(type), [&] {
      DeviceFixture bench(discarding());
      RawGuest guest = bench.guest();
      const auto outcome = guest.segments(type, list);
      EXPECT(outcome.has_value());
      EXPECT_EQ(outcome->status, status);
      EXPECT_EQ(outcome->written, 1u);
      EXPECT_EQ(bench.guest_errors(rule), 1u);
      EXPECT(bench.disk().take_seen().empty());
      EXPECT(bench.disk().untouched());
      expect_serves(guest);
    });
  }
}

// A good segment before and behind the bad one, so that an early start would be seen.
void check_bad_segment(const char* name, const Segment& bad, uint8_t status, GuestRule rule) {
  const Segment good{uint64_t{0}, uint32_t{8}, uint32_t{0}};
  for (const auto& list : {std::vector<Segment>{bad}, {good, bad}, {good, bad, good}}) {
    check_refused(name, list, status, rule);
  }
}

// COVERS(virtio 1.2 5.2.6): segments are carried out in order and completely
TEST(segments_are_carried_out_in_order_and_completely) {
  for (const uint32_t type : kBoth) {
    DeviceFixture bench(discarding());
    RawGuest guest = bench.guest();
    const Segment list[] = {{uint64_t{16}, uint32_t{8}, uint32_t{0}},
                            {kCapacity - 1, uint32_t{1}, uint32_t{0}},
                            {uint64_t{100}, kMaxSectors, uint32_t{0}}};
    const auto outcome = guest.segments(type, list);
    EXPECT_EQ(outcome->status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(outcome->written, 1u);
    const auto seen = bench.disk().take_seen();
    EXPECT_EQ(seen.size(), std::size(list));
    for (size_t i = 0; i < std::size(list); i++) {
      EXPECT(seen[i].op == (type == VIRTIO_BLK_T_DISCARD ? BlockOp::kDiscard : BlockOp::kWriteZeroes));
      EXPECT_EQ(seen[i].offset, uint64_t{list[i].sector} * kSector);
      EXPECT_EQ(seen[i].length, uint64_t{list[i].num_sectors} * kSector);
      EXPECT(!seen[i].may_unmap);
    }
    const auto content = bench.disk().content();
    EXPECT_EQ(content[16 * kSector], std::byte{0});
    EXPECT_EQ(content[kCapacity * kSector - 1], std::byte{0});
    EXPECT(bench.disk().untouched(24 * kSector, 100 * kSector));
    EXPECT(bench.disk().untouched(0, 16 * kSector));
  }
}

TEST(as_many_segments_as_allowed_are_carried_out) {
  DeviceFixture bench(discarding());
  RawGuest guest = bench.guest();
  std::vector<Segment> list;
  for (uint64_t i = 0; i < kMaxSegments; i++) list.push_back({i * 100, uint32_t{1}, uint32_t{0}});
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(bench.disk().take_seen().size(), kMaxSegments);
}

TEST(unmap_reaches_the_disk_only_for_the_segments_that_carry_it) {
  DeviceFixture bench(discarding());
  RawGuest guest = bench.guest();
  const Segment list[] = {{uint64_t{0}, uint32_t{8}, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP},
                          {uint64_t{8}, uint32_t{8}, uint32_t{0}}};
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list)->status, VIRTIO_BLK_S_OK);
  const auto seen = bench.disk().take_seen();
  EXPECT(seen[0].may_unmap && !seen[1].may_unmap);
}

// COVERS(B8): segment lists: 0
TEST(a_list_of_no_segments_is_an_error) { check_refused("none", {}, VIRTIO_BLK_S_IOERR, GuestRule::kSegmentList); }

// COVERS(B8): segment lists: too many
TEST(a_list_of_too_many_segments_is_an_error) {
  for (const size_t count : {kMaxSegments + 1, 100u, 4096u}) {
    const std::vector<Segment> list(count, Segment{uint64_t{0}, uint32_t{1}, uint32_t{0}});
    check_refused("too many", list, VIRTIO_BLK_S_IOERR, GuestRule::kSegmentList);
  }
}

// COVERS(B8): segment lists: % 16
TEST(a_list_that_is_not_whole_segments_is_an_error) {
  for (const uint32_t type : kBoth) {
    for (const uint32_t bytes : {1u, 15u, 17u, 31u, 129u}) {
      DeviceFixture bench(discarding());
      RawGuest guest = bench.guest();
      std::vector<std::byte> list(bytes);
      EXPECT_EQ(guest.request(type, 0, list)->status, VIRTIO_BLK_S_IOERR);
      EXPECT_EQ(bench.guest_errors(GuestRule::kSegmentList), 1u);
      EXPECT(bench.disk().take_seen().empty());
      expect_serves(guest);
    }
  }
}

// COVERS(B8): segment lists: overflow, past the end
TEST(a_segment_past_the_end_stops_the_whole_list) {
  const auto check = [](const char* name, uint64_t sector, uint32_t sectors) {
    check_bad_segment(name, {sector, sectors, uint32_t{0}}, VIRTIO_BLK_S_IOERR, GuestRule::kSectorPastEnd);
  };
  check("one sector past", kCapacity, 1);
  check("across the end", kCapacity - 7, 8);
  check("nothing behind the end", kCapacity + 1, 0);
  check("largest sector", ~uint64_t{0}, 8);
  check("sector and count wrap", ~uint64_t{0} - 7, 8);
  check("bytes wrap to 0", uint64_t{1} << 55, 8);
  check("sector 2^63", uint64_t{1} << 63, 1);
}

// COVERS(B8): segment lists: overflow, past the end
TEST(a_segment_that_is_too_long_stops_the_whole_list) {
  for (const uint32_t sectors : {kMaxSectors + 1, 0x10000u, 0x800000u, 0xffffffffu}) {
    check_bad_segment("count", {uint64_t{0}, sectors, uint32_t{0}}, VIRTIO_BLK_S_IOERR, GuestRule::kSegmentTooLong);
  }
}

// COVERS(B8): segment lists: unknown flags
TEST(unknown_flags_are_unsupported) {
  for (const uint32_t flags : {2u, 3u, 0x8000'0000u, 0xffff'ffffu}) {
    check_bad_segment("flags", {uint64_t{0}, uint32_t{8}, flags}, VIRTIO_BLK_S_UNSUPP, GuestRule::kSegmentFlags);
  }
}

// COVERS(virtio 1.2 5.2.6.2): unmap in a DISCARD is UNSUPP
TEST(unmap_in_a_discard_is_unsupported) {
  const Segment list[] = {{uint64_t{0}, uint32_t{8}, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}};
  check_refused("unmap", list, VIRTIO_BLK_S_UNSUPP, GuestRule::kSegmentFlags, {VIRTIO_BLK_T_DISCARD});
}

// COVERS(B8): segment lists: overlapping, unaligned
TEST(overlapping_and_unaligned_segments_are_served) {
  for (const uint32_t type : kBoth) {
    DeviceFixture bench(discarding());
    RawGuest guest = bench.guest();
    const Segment list[] = {{uint64_t{3}, uint32_t{10}, uint32_t{0}},
                            {uint64_t{5}, uint32_t{20}, uint32_t{0}},
                            {uint64_t{3}, uint32_t{10}, uint32_t{0}}};
    EXPECT_EQ(guest.segments(type, list)->status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(bench.disk().take_seen().size(), 3u);
    EXPECT(bench.disk().untouched(0, 3 * kSector) && bench.disk().untouched(25 * kSector, 100 * kSector));
  }
}

TEST(segments_of_no_sectors_are_done_without_the_disk) {
  DeviceFixture bench(discarding());
  RawGuest guest = bench.guest();
  const Segment list[] = {{uint64_t{0}, uint32_t{0}, uint32_t{0}},
                          {uint64_t{9}, uint32_t{1}, uint32_t{0}},
                          {kCapacity, uint32_t{0}, uint32_t{0}}};
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_DISCARD, list)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(bench.disk().take_seen().size(), 1u);
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_DISCARD, std::span(list).first(1))->status, VIRTIO_BLK_S_OK);
  EXPECT(bench.disk().take_seen().empty());
}

// COVERS(B8): segment lists: feature not accepted
TEST(without_the_feature_they_are_unsupported) {
  const Segment list[] = {{uint64_t{0}, uint32_t{8}, uint32_t{0}}};
  struct Case {
    uint64_t refused;
    uint32_t type;
    bool offered;
  };
  const Case cases[] = {
      {0, VIRTIO_BLK_T_DISCARD, false},
      {0, VIRTIO_BLK_T_WRITE_ZEROES, false},
      {feature(VIRTIO_BLK_F_DISCARD), VIRTIO_BLK_T_DISCARD, true},
      {feature(VIRTIO_BLK_F_WRITE_ZEROES), VIRTIO_BLK_T_WRITE_ZEROES, true},
  };
  for (const Case& wanted : cases) {
    FixtureOptions options = discarding();
    options.device.discard = wanted.offered;
    DeviceFixture bench(std::move(options));
    RawGuest guest = bench.guest(kNoEventIndex & ~wanted.refused);
    EXPECT_EQ(guest.segments(wanted.type, list)->status, VIRTIO_BLK_S_UNSUPP);
    EXPECT_EQ(bench.guest_errors(GuestRule::kFeatureNotAccepted), 1u);
    EXPECT(bench.disk().take_seen().empty());
    expect_serves(guest);
  }
}

TEST(a_segment_that_fails_ends_its_list_with_an_error) {
  DeviceFixture bench(discarding());
  RawGuest guest = bench.guest();
  bench.faults().fail_nth(BlockOp::kWriteZeroes, 2, EIO);
  const Segment list[] = {{uint64_t{0}, uint32_t{8}, uint32_t{0}},
                          {uint64_t{8}, uint32_t{8}, uint32_t{0}},
                          {uint64_t{16}, uint32_t{8}, uint32_t{0}}};
  const auto outcome = guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list);
  EXPECT_EQ(outcome->status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(outcome->written, 1u);
  EXPECT(bench.disk().untouched(8 * kSector, 100 * kSector));
  expect_serves(guest);
}

TEST(a_segment_list_may_be_split_over_descriptors) {
  DeviceFixture bench(discarding());
  RawGuest guest = bench.guest();
  const Segment list[] = {{uint64_t{0}, uint32_t{8}, uint32_t{0}}, {uint64_t{40}, uint32_t{8}, uint32_t{0}}};
  const Gpa memory = guest.memory(sizeof(list)), status = guest.status();
  guest.at(memory, sizeof(list)).copy_in(0, list, sizeof(list));
  const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_DISCARD, 0), 16, false},
                                    {memory, 5, false},
                                    {Gpa{raw(memory) + 5}, 27, false},
                                    {status, 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 1u);
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_OK);
  EXPECT_EQ(bench.disk().take_seen().size(), 2u);
}

}  // namespace
}  // namespace acrn
