// Requests: types, lengths, sectors, GET_ID, read-only disks and no disk at all (virtio 0.9.5 appendix
// D, virtio 1.2 5.2.6; rows B1, B4-B7).
// COVERS(ring.framing, ring.no-status, blk.read-write, blk.bounds, blk.sectors, blk.read-only, blk.nodisk, blk.get-id)
// COVERS(blk.unknown, blk.short-header)
#include <algorithm>
#include <cstring>

#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Piece = RawGuest::Piece;
constexpr uint64_t kCapacity = 4 * kMiB / kSector;

// COVERS(virtio 0.9.5 2.4.1): used length is what was written to the guest
TEST(the_used_length_is_what_was_written_to_the_guest) {
  DeviceFixture bench({.device = {.discard = true}});
  RawGuest guest = bench.guest();
  struct Case {
    const char* name;
    uint64_t sector;
    uint32_t type, bytes, written;
    uint8_t status;
  };
  const Case cases[] = {
      {"IN", 0, VIRTIO_BLK_T_IN, 4096, 4097, VIRTIO_BLK_S_OK},
      {"IN of the last sector", kCapacity - 1, VIRTIO_BLK_T_IN, kSector, kSector + 1, VIRTIO_BLK_S_OK},
      {"IN of nothing", 0, VIRTIO_BLK_T_IN, 0, 1, VIRTIO_BLK_S_OK},
      {"IN that fails", kCapacity, VIRTIO_BLK_T_IN, 4096, 1, VIRTIO_BLK_S_IOERR},
      {"OUT", 0, VIRTIO_BLK_T_OUT, 4096, 1, VIRTIO_BLK_S_OK},
      {"OUT of nothing", 0, VIRTIO_BLK_T_OUT, 0, 1, VIRTIO_BLK_S_OK},
      {"OUT that fails", kCapacity, VIRTIO_BLK_T_OUT, 4096, 1, VIRTIO_BLK_S_IOERR},
      {"FLUSH", 0, VIRTIO_BLK_T_FLUSH, 0, 1, VIRTIO_BLK_S_OK},
      {"FLUSH by its old number", 0, VIRTIO_BLK_T_FLUSH_OUT, 0, 1, VIRTIO_BLK_S_OK},
      {"FLUSH with sector and data", ~uint64_t{0}, VIRTIO_BLK_T_FLUSH, 100, 1, VIRTIO_BLK_S_OK},
      {"GET_ID", ~uint64_t{0}, VIRTIO_BLK_T_GET_ID, 20, 21, VIRTIO_BLK_S_OK},
      {"unknown", 0, 99, 512, 1, VIRTIO_BLK_S_UNSUPP},
  };
  for (const Case& wanted : cases) {
    row(wanted.name, [&] {
      std::vector<std::byte> data(wanted.bytes);
      const auto outcome = guest.request(wanted.type, wanted.sector, data);
      EXPECT(outcome.has_value());
      EXPECT_EQ(outcome->status, wanted.status);
      EXPECT_EQ(outcome->written, wanted.written);
    });
  }
}

struct Past {
  uint64_t sector;
  uint32_t bytes;
};
const Past kPast[] = {{kCapacity, kSector},
                      {kCapacity - 1, 2 * kSector},
                      {kCapacity + 1, 0},
                      {0, static_cast<uint32_t>(kCapacity* kSector + kSector)},
                      {~uint64_t{0}, kSector},
                      {~uint64_t{0} - 7, 8 * kSector},
                      {uint64_t{1} << 63, kSector},
                      {uint64_t{1} << 55, kSector},  // sector * 512 wraps to 0
                      {(uint64_t{1} << 55) + 1, kSector},
                      {uint64_t{1} << 32, kSector}};

// COVERS(B1): sector and length past the end, wrapping, with `range=`
TEST(a_request_past_the_end_is_an_error_and_touches_nothing) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  uint64_t refused = 0;
  for (const Past& past : kPast) {
    for (const uint32_t type : {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT}) {
      row("sector " + std::to_string(past.sector) + " bytes " + std::to_string(past.bytes), [&] {
        const auto ready = ready_request(guest, 0, type, past.sector, past.bytes);
        EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
        EXPECT_EQ(guest.byte(ready.status), VIRTIO_BLK_S_IOERR);
        EXPECT(ready.data.untouched());
        EXPECT_EQ(bench.guest_errors(GuestRule::kSectorPastEnd), ++refused);
      });
    }
  }
  EXPECT(bench.disk().take_seen().empty());
  EXPECT(bench.disk().untouched());
  expect_serves(guest);
}

// COVERS(B5): length not a multiple of 512
TEST(a_length_that_is_not_a_multiple_of_512_is_an_error_and_writes_nothing) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  uint64_t refused = 0;
  for (const uint32_t bytes : {1u, 20u, 511u, 513u, 1000u, 4095u}) {
    for (const uint32_t type : {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT}) {
      const auto ready = ready_request(guest, 0, type, 0, bytes);
      EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
      EXPECT_EQ(guest.byte(ready.status), VIRTIO_BLK_S_IOERR);
      EXPECT(ready.data.untouched());
      EXPECT_EQ(bench.guest_errors(GuestRule::kDataNotSectors), ++refused);
    }
  }
  EXPECT(bench.disk().take_seen().empty());
  expect_serves(guest);
}

// COVERS(B6): unknown type
TEST(an_unknown_type_is_unsupported_and_completed) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  uint64_t refused = 0;
  const uint32_t barrier = 0x8000'0000;
  for (const uint32_t type : {2u, 3u, 6u, 7u, 9u, 10u, 12u, 14u, 15u, 16u, 0x100u, 0x10000u, barrier | VIRTIO_BLK_T_IN,
                              barrier | VIRTIO_BLK_T_OUT, barrier | VIRTIO_BLK_T_FLUSH, 0xffffffffu}) {
    row("type " + std::to_string(type), [&] {
      std::vector<std::byte> data(kSector);
      const auto outcome = guest.request(type, 0, data);
      EXPECT(outcome.has_value());
      EXPECT_EQ(outcome->status, VIRTIO_BLK_S_UNSUPP);
      EXPECT_EQ(outcome->written, 1u);
      EXPECT_EQ(bench.guest_errors(GuestRule::kUnknownType), ++refused);
    });
  }
  EXPECT(bench.disk().take_seen().empty());
  expect_serves(guest);
}

// COVERS(B4): GET_ID of 0 to 4096 bytes, scattered, read-only
TEST(get_id_gives_what_fits) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  std::string id(DeviceFixture::kSerial);
  id.resize(VIRTIO_BLK_ID_BYTES);
  for (const uint32_t bytes : {0u, 1u, 9u, 19u, 20u, 21u, 4096u}) {
    row(std::to_string(bytes) + " bytes", [&] {
      const auto ready = ready_request(guest, 0, VIRTIO_BLK_T_GET_ID, 0, bytes);
      const uint32_t part = std::min(bytes, VIRTIO_BLK_ID_BYTES);
      EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, part + 1);
      EXPECT_EQ(guest.byte(ready.status), VIRTIO_BLK_S_OK);
      auto expected = filled(bytes, 0x5a);
      if (part != 0) std::memcpy(expected.data(), id.data(), part);
      EXPECT(ready.data.content() == expected && ready.data.canaries_intact());
    });
  }
}

// COVERS(B4): GET_ID of 0 to 4096 bytes, scattered, read-only
TEST(get_id_is_spread_over_scattered_bytes) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Guarded a(guest, 3), b(guest, 1), c(guest, 30);
  const Piece pieces[] = {{guest.header(VIRTIO_BLK_T_GET_ID, 0), 16, false},
                          {a.gpa(), 3, true},
                          {b.gpa(), 1, true},
                          {c.gpa(), 30, true},
                          {guest.status(), 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 21u);
  EXPECT_EQ(std::memcmp(a.content().data(), "BEN", 3), 0);
  EXPECT_EQ(b.content()[0], std::byte{'C'});
  EXPECT_EQ(std::memcmp(c.content().data(), "H-0123\0\0\0\0\0\0\0\0\0\0\x5a", 17), 0);
  EXPECT(a.canaries_intact() && b.canaries_intact() && c.canaries_intact());
}

// COVERS(B4): GET_ID of 0 to 4096 bytes, scattered, read-only
TEST(get_id_with_readable_data_only_writes_just_the_status) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const Guarded data(guest, 20);
  const Gpa status = guest.status();
  const Piece pieces[] = {
      {guest.header(VIRTIO_BLK_T_GET_ID, 0), 16, false}, {data.gpa(), 20, false}, {status, 1, true}};
  EXPECT_EQ(uint32_t{guest.run(pieces)->len}, 1u);
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_OK);
  EXPECT(data.untouched());
}

// COVERS(B7): changes of a read-only disk
TEST(a_read_only_disk_refuses_everything_that_writes_and_flushes_fine) {
  DeviceFixture bench(
      {.device = {.read_only = true, .discard = true}, .medium = {.size = 4 * kMiB, .read_only = true}});
  RawGuest guest = bench.guest();
  for (const uint32_t type : {VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
    auto data = filled(kSector, 0);
    const auto outcome = guest.request(type, 0, data);
    EXPECT_EQ(outcome->status, VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(outcome->written, 1u);
  }
  EXPECT_EQ(bench.guest_errors(GuestRule::kWriteToReadOnly), 3u);
  EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_OK);
  EXPECT(bench.disk().take_seen().empty());
  EXPECT(bench.disk().untouched());
  expect_serves(guest);
}

TEST(a_function_without_a_disk_answers_every_request_but_get_id_with_an_error) {
  DeviceFixture bench({.device = {.discard = true}, .attached = false});
  RawGuest guest = bench.guest();
  EXPECT_EQ(guest.capacity(), 0u);
  uint64_t refused = 0;
  for (const uint32_t type :
       {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, 99u}) {
    std::vector<std::byte> data(kSector);
    const auto outcome = guest.request(type, 0, data);
    EXPECT_EQ(outcome->status, VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(outcome->written, 1u);
    EXPECT_EQ(bench.guest_errors(GuestRule::kNoMedium), ++refused);
  }
}

TEST(the_id_needs_no_disk) {
  DeviceFixture bench({.device = {.serial = "SLOT-9"}, .attached = false});
  RawGuest guest = bench.guest();
  std::vector<std::byte> id(VIRTIO_BLK_ID_BYTES);
  const auto outcome = guest.request(VIRTIO_BLK_T_GET_ID, 0, id);
  EXPECT_EQ(outcome->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(outcome->written, VIRTIO_BLK_ID_BYTES + 1u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(id.data()), id.size()),
            std::string("SLOT-9") + std::string(14, '\0'));
  EXPECT_EQ(bench.guest_errors(GuestRule::kNoMedium), 0u);
}

}  // namespace
}  // namespace acrn
