// How a request may be laid out in a chain: header, data and status wherever descriptors begin and end
// (VIRTIO_F_ANY_LAYOUT, virtio 0.9.5 appendix D; rows B2, B3).
#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Piece = RawGuest::Piece;

Gpa operator+(Gpa gpa, uint64_t bytes) { return Gpa{raw(gpa) + bytes}; }

// COVERS(B2): header split, short, long, writable, with data
TEST(the_header_may_be_split_anywhere) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (uint32_t at = 1; at < 16; at++) {
    const Gpa header = guest.header(VIRTIO_BLK_T_IN, 5), status = guest.status();
    const Guarded data(guest, kSector);
    const Piece pieces[] = {
        {header, at, false}, {header + at, 16 - at, false}, {data.gpa(), kSector, true}, {status, 1, true}};
    EXPECT_EQ(uint32_t{guest.run(pieces)->len}, kSector + 1);
    EXPECT(data.holds_disk(5 * kSector));
  }
  std::vector<Piece> bytes;
  const Gpa header = guest.header(VIRTIO_BLK_T_FLUSH, 0);
  for (uint32_t i = 0; i < 16; i++) bytes.push_back({header + i, 1, false});
  bytes.push_back({guest.status(), 1, true});
  EXPECT_EQ(uint32_t{guest.run(bytes)->len}, 1u);
  EXPECT_EQ(guest.byte(bytes.back().address), VIRTIO_BLK_S_OK);
}

// COVERS(B2): header split, short, long, writable, with data
TEST(header_and_data_may_share_a_descriptor_and_so_may_data_and_status) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Gpa out = guest.memory(16 + kSector);
  guest.at(out, 16).store(0, VirtioBlkOuthdr{VIRTIO_BLK_T_OUT, uint32_t{0}, uint64_t{9}});
  guest.at(out + 16, kSector).copy_in(0, filled(kSector, 0x77).data(), kSector);
  const Piece write[] = {{out, 16 + kSector, false}, {guest.status(), 1, true}};
  EXPECT_EQ(uint32_t{guest.run(write)->len}, 1u);
  EXPECT_EQ(guest.byte(write[1].address), VIRTIO_BLK_S_OK);
  EXPECT_EQ(bench.disk().content()[9 * kSector + 511], std::byte{0x77});

  const Guarded in(guest, kSector + 1);
  const Piece read[] = {{guest.header(VIRTIO_BLK_T_IN, 9), 16, false}, {in.gpa(), kSector + 1, true}};
  EXPECT_EQ(uint32_t{guest.run(read)->len}, kSector + 1);
  EXPECT_EQ(in.content()[0], std::byte{0x77});
  EXPECT_EQ(in.content()[kSector], std::byte{VIRTIO_BLK_S_OK});
  EXPECT(in.canaries_intact());
}

TEST(data_may_be_split_at_odd_places_and_is_put_together_in_order) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Guarded data(guest, kSector + 1);
  const Piece pieces[] = {{guest.header(VIRTIO_BLK_T_IN, 2), 16, false},
                          {data.gpa(), 1, true},
                          {data.gpa() + 1, 300, true},
                          {data.gpa() + 301, 212, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, kSector + 1);
  for (uint32_t i = 0; i < kSector; i++) EXPECT_EQ(data.content()[i], pattern(2 * kSector + i));
  EXPECT(data.canaries_intact());
}

// COVERS(B2): header split, short, long, writable, with data
TEST(a_short_header_is_an_error_in_the_status_byte) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (const uint32_t bytes : {0u, 1u, 8u, 15u}) {
    const Gpa header = guest.header(VIRTIO_BLK_T_IN, 0), status = guest.status();
    const Guarded data(guest, kSector);
    const Piece pieces[] = {{header, bytes, false}, {data.gpa(), kSector, true}, {status, 1, true}};
    EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 1u);
    EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
    EXPECT(data.untouched());
  }
  EXPECT_EQ(bench.guest_errors(GuestRule::kHeaderTooShort), 4u);
  expect_serves(guest);
}

// COVERS(B2): header split, short, long, writable, with data
TEST(a_writable_header_is_a_missing_header) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Gpa header = guest.header(VIRTIO_BLK_T_IN, 0), status = guest.status();
  const Piece pieces[] = {{header, 16, true}, {guest.memory(kSector), kSector, true}, {status, 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 1u);
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(bench.guest_errors(GuestRule::kHeaderTooShort), 1u);
  expect_serves(guest);
}

// COVERS(B2): header split, short, long, writable, with data
TEST(a_long_header_of_a_read_is_data_that_nobody_wants) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Gpa header = guest.memory(600), status = guest.status();
  guest.at(header, 16).store(0, VirtioBlkOuthdr{VIRTIO_BLK_T_IN, uint32_t{0}, uint64_t{4}});
  const Guarded data(guest, kSector);
  const Piece pieces[] = {{header, 600, false}, {data.gpa(), kSector, true}, {status, 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, kSector + 1);
  EXPECT(data.holds_disk(4 * kSector));
}

// COVERS(B3): data in the wrong direction
TEST(data_in_the_wrong_direction_is_an_error_and_never_ok) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  uint64_t counted = 0;
  for (const bool write : {false, true}) {
    const Gpa header = guest.header(write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 0), status = guest.status();
    const Guarded data(guest, kSector);
    const Piece wrong[] = {{header, 16, false}, {data.gpa(), kSector, write}, {status, 1, true}};
    EXPECT_EQ(uint32_t{guest.run(wrong)->len}, 1u);
    EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
    EXPECT(data.untouched());
    EXPECT_EQ(bench.guest_errors(GuestRule::kDataDirection), ++counted);
    const Piece none[] = {{header, 16, false}, {status, 1, true}};
    EXPECT_EQ(uint32_t{guest.run(none)->len}, 1u);
    EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_OK);
  }
  EXPECT(bench.disk().take_seen().empty());
  expect_serves(guest);
}

// COVERS(B3): status missing, not last, read-only, long
TEST(a_chain_with_nothing_writable_stops_the_queue_and_is_not_carried_out) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Gpa header = guest.header(VIRTIO_BLK_T_OUT, 0), status = guest.status();
  const std::vector<Piece> missing{{header, 16, false}, {guest.memory(kSector), kSector, false}};
  const std::vector<Piece> read_only{{header, 16, false}, {guest.memory(kSector), kSector, false}, {status, 1, false}};
  for (const auto& pieces : {missing, read_only}) {
    const uint16_t used = guest.ring().used_index();
    guest.chain(0, pieces);
    guest.offer(0);
    guest.kick();
    EXPECT(wait_until([&] { return bench.device().stats(0).stopped; }));
    EXPECT_EQ(guest.ring().used_index(), used);
    EXPECT_EQ(guest.byte(status), RawGuest::kNoStatus);
    EXPECT(bench.disk().take_seen().empty());
    EXPECT(bench.disk().untouched());
    must(guest.restart(kNoEventIndex));
  }
  expect_serves(guest);
  EXPECT_EQ(bench.guest_errors(GuestRule::kStatusMissing), 2u);
}

// COVERS(B3): status missing, not last, read-only, long
TEST(the_status_is_the_last_writable_byte_however_long_its_descriptor_is) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (const uint32_t length : {2u, 8u, 4096u}) {
    const Guarded status(guest, length);
    const Piece flush[] = {{guest.header(VIRTIO_BLK_T_FLUSH, 0), 16, false}, {status.gpa(), length, true}};
    EXPECT_EQ(uint32_t{guest.run(flush)->len}, 1u);
    auto expected = filled(length, 0x5a);
    expected.back() = std::byte{VIRTIO_BLK_S_OK};
    EXPECT(status.content() == expected && status.canaries_intact());
    // Of a read the bytes before it are data, and no whole sectors.
    const Piece read[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false}, {status.gpa(), length, true}};
    EXPECT_EQ(uint32_t{guest.run(read)->len}, 1u);
    expected.back() = std::byte{VIRTIO_BLK_S_IOERR};
    EXPECT(status.content() == expected && status.canaries_intact());
  }
  expect_serves(guest);
}

}  // namespace
}  // namespace acrn
