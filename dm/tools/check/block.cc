// Clauses of virtio-blk requests.
#include <algorithm>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/tools/check/check.h"

namespace acrn {
namespace {

using Outcome = std::optional<RawGuest::Outcome>;

Verdict expect(const Outcome& outcome, uint8_t status, uint32_t written, const std::string& what) {
  REQUIRE(outcome.has_value(), what, ": no answer");
  REQUIRE(outcome->status == status, what, ": status ", unsigned{outcome->status}, ", not ", unsigned{status});
  REQUIRE(outcome->written == written, what, ": used length ", outcome->written, ", not ", written);
  return holds();
}

#define EXPECT_OUTCOME(...)                                                                     \
  do {                                                                                          \
    if (Verdict verdict = expect(__VA_ARGS__); verdict.kind != Verdict::kHolds) return verdict; \
  } while (false)

std::vector<std::byte> pattern(size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; i++) data[i] = static_cast<std::byte>((i * 31 + i / 512 + seed) & 0xff);
  return data;
}

Verdict read_write(CheckContext& context) {
  if (!context.writable()) return skipped("the disk cannot be written");
  for (const unsigned sectors : {1u, 2u, 8u, 63u}) {
    if (sectors >= context.guest.capacity()) break;
    auto written = pattern(sectors * 512, sectors);
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_OUT, 1, written), VIRTIO_BLK_S_OK, 1, "OUT");
    std::vector<std::byte> read(written.size());
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_IN, 1, read), VIRTIO_BLK_S_OK, sectors * 512 + 1, "IN");
    REQUIRE(read == written, "what was read is not what was written (", sectors, " sectors)");
  }
  return holds();
}

Verdict bounds(CheckContext& context) {
  if (!context.has_disk()) return skipped("there is no disk");
  const uint64_t capacity = context.guest.capacity();
  std::vector<std::byte> two(1024);
  for (const uint64_t sector :
       {capacity - 1, capacity, capacity + 1, ~uint64_t{0}, ~uint64_t{0} / 512, uint64_t{1} << 55}) {
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_IN, sector, two), VIRTIO_BLK_S_IOERR, 1,
                   concat("IN at ", sector));
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_OUT, sector, two), VIRTIO_BLK_S_IOERR, 1,
                   concat("OUT at ", sector));
  }
  std::vector<std::byte> one(512);
  EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_IN, capacity - 1, one), VIRTIO_BLK_S_OK, 513, "the last sector");
  return holds();
}

Verdict partial_sectors(CheckContext& context) {
  if (!context.has_disk()) return skipped("there is no disk");
  for (const size_t bytes : {1u, 511u, 513u, 1000u}) {
    auto data = pattern(bytes, 3);
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_IN, 0, data), VIRTIO_BLK_S_IOERR, 1,
                   concat("IN of ", bytes, " bytes"));
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_OUT, 0, data), VIRTIO_BLK_S_IOERR, 1,
                   concat("OUT of ", bytes, " bytes"));
  }
  return holds();
}

Verdict read_only(CheckContext& context) {
  if (!context.options.read_only || !context.has_disk()) return skipped("the disk is not ro");
  auto data = pattern(512, 9);
  EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_OUT, 0, data), VIRTIO_BLK_S_IOERR, 1, "OUT");
  const VirtioBlkDiscardWriteZeroes segment{uint64_t{0}, 1u, 0u};
  for (const uint32_t type : {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
    EXPECT_OUTCOME(context.guest.segments(type, {&segment, 1}), VIRTIO_BLK_S_IOERR, 1, concat("type ", type));
  }
  EXPECT_OUTCOME(context.guest.flush(), VIRTIO_BLK_S_OK, 1, "FLUSH");
  return holds();
}

Verdict no_medium(CheckContext& context) {
  if (context.has_disk()) return skipped("there is a disk");
  std::vector<std::byte> data(512);
  for (const uint32_t type : {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH}) {
    EXPECT_OUTCOME(context.guest.request(type, 0, data), VIRTIO_BLK_S_IOERR, 1, concat("type ", type));
  }
  return holds();
}

Verdict flush(CheckContext& context) {
  if (!context.has_disk()) return skipped("there is no disk");
  EXPECT_OUTCOME(context.guest.flush(), VIRTIO_BLK_S_OK, 1, "FLUSH");
  EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_FLUSH_OUT, ~uint64_t{0}, {}), VIRTIO_BLK_S_OK, 1, "FLUSH_OUT");
  return holds();
}

Verdict get_id(CheckContext& context) {
  std::byte id[VIRTIO_BLK_ID_BYTES];
  EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_GET_ID, 0, id), VIRTIO_BLK_S_OK, 21, "GET_ID of 20 bytes");
  for (const uint32_t bytes : {0u, 1u, 19u, 21u, 4096u}) {
    std::vector<std::byte> data(bytes, std::byte{0xee});
    const uint32_t fits = std::min(bytes, VIRTIO_BLK_ID_BYTES);
    EXPECT_OUTCOME(context.guest.request(VIRTIO_BLK_T_GET_ID, 0, data), VIRTIO_BLK_S_OK, fits + 1,
                   concat("GET_ID of ", bytes, " bytes"));
    REQUIRE(std::equal(data.begin(), data.begin() + fits, id), "GET_ID of ", bytes, " bytes gives another ID");
    REQUIRE(std::all_of(data.begin() + fits, data.end(), [](std::byte b) { return b == std::byte{0xee}; }),
            "GET_ID writes past 20 bytes");
  }
  return holds();
}

Verdict unknown_types(CheckContext& context) {
  if (!context.has_disk()) return skipped("there is no disk");
  for (const uint32_t type : {2u, 3u, 6u, 7u, 9u, 10u, 12u, 14u, 0x8000'0000u, 0x8000'0001u, ~0u}) {
    EXPECT_OUTCOME(context.guest.request(type, 0, {}), VIRTIO_BLK_S_UNSUPP, 1, concat("type ", hex(type)));
  }
  return holds();
}

Verdict short_header(CheckContext& context) {
  RawGuest& guest = context.guest;
  for (const uint32_t bytes : {1u, 8u, 15u}) {
    const Gpa status = guest.status();
    const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_IN, 0), bytes, false}, {status, 1, true}};
    const auto used = guest.run(pieces);
    REQUIRE(used && guest.byte(status) == VIRTIO_BLK_S_IOERR, "a header of ", bytes,
            " bytes is not answered with IOERR");
  }
  return holds();
}

Verdict discard_not_accepted(CheckContext& context) {
  if (!context.writable()) return skipped("the disk cannot be written");
  RawGuest& guest = context.guest;
  const uint64_t without = guest.offered() & ~(feature(VIRTIO_BLK_F_DISCARD) | feature(VIRTIO_BLK_F_WRITE_ZEROES));
  if (auto again = guest.restart(without); !again) return broken(again.error().message);
  const VirtioBlkDiscardWriteZeroes segment{uint64_t{0}, 1u, 0u};
  EXPECT_OUTCOME(guest.segments(VIRTIO_BLK_T_DISCARD, {&segment, 1}), VIRTIO_BLK_S_UNSUPP, 1, "DISCARD");
  EXPECT_OUTCOME(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, {&segment, 1}), VIRTIO_BLK_S_UNSUPP, 1, "WRITE_ZEROES");
  return holds();
}

// A list with one bad segment: nothing of it is carried out.
Verdict segments_checked_first(CheckContext& context) {
  if (!context.writable() || !context.options.discard) return skipped("the disk does not offer WRITE_ZEROES");
  RawGuest& guest = context.guest;
  if (guest.capacity() < 8) return skipped("the disk is too small");
  auto data = pattern(512, 5);
  EXPECT_OUTCOME(guest.request(VIRTIO_BLK_T_OUT, 0, data), VIRTIO_BLK_S_OK, 1, "OUT");
  struct Case {
    const char* what;
    VirtioBlkDiscardWriteZeroes segment;
    uint8_t status;
  };
  const Case cases[] = {{"past the end", {guest.capacity(), 1u, 0u}, VIRTIO_BLK_S_IOERR},
                        {"sector overflow", {~uint64_t{0}, 2u, 0u}, VIRTIO_BLK_S_IOERR},
                        {"too many sectors", {uint64_t{0}, ~0u, 0u}, VIRTIO_BLK_S_IOERR},
                        {"unknown flags", {uint64_t{0}, 1u, 2u}, VIRTIO_BLK_S_UNSUPP}};
  for (const Case& wrong : cases) {
    const VirtioBlkDiscardWriteZeroes list[] = {{uint64_t{0}, 1u, 0u}, wrong.segment};
    EXPECT_OUTCOME(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list), wrong.status, 1, wrong.what);
    std::vector<std::byte> now(512);
    EXPECT_OUTCOME(guest.request(VIRTIO_BLK_T_IN, 0, now), VIRTIO_BLK_S_OK, 513, "IN");
    REQUIRE(now == data, wrong.what, ": the good segment before it was carried out");
  }
  EXPECT_OUTCOME(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, {}), VIRTIO_BLK_S_IOERR, 1, "no segment");
  return holds();
}

Verdict write_zeroes(CheckContext& context) {
  if (!context.writable() || !context.options.discard) return skipped("the disk does not offer WRITE_ZEROES");
  RawGuest& guest = context.guest;
  if (guest.capacity() < 16) return skipped("the disk is too small");
  for (const uint32_t flags : {0u, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}) {
    auto expected = pattern(16 * 512, 7);
    EXPECT_OUTCOME(guest.request(VIRTIO_BLK_T_OUT, 0, expected), VIRTIO_BLK_S_OK, 1, "OUT");
    const VirtioBlkDiscardWriteZeroes list[] = {{uint64_t{1}, 2u, flags}, {uint64_t{9}, 5u, flags}};
    EXPECT_OUTCOME(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list), VIRTIO_BLK_S_OK, 1, "WRITE_ZEROES");
    std::fill_n(expected.begin() + 512, 2 * 512, std::byte{0});
    std::fill_n(expected.begin() + 9 * 512, 5 * 512, std::byte{0});
    std::vector<std::byte> now(expected.size());
    EXPECT_OUTCOME(guest.request(VIRTIO_BLK_T_IN, 0, now), VIRTIO_BLK_S_OK, 16 * 512 + 1, "IN");
    REQUIRE(now == expected, "the zeroes are not just where they were asked for (flags ", flags, ")");
  }
  return holds();
}

constexpr Clause kClauses[] = {
    {"blk.read-write", "what is written is read back; used length is data + status", "virtio 0.9.5 appendix D",
     read_write},
    {"blk.bounds", "a transfer lies inside the capacity, computed without overflow", "virtio 1.2 5.2.6.1", bounds},
    {"blk.sectors", "data is a multiple of 512 bytes", "virtio 1.2 5.2.6.1", partial_sectors},
    {"blk.read-only", "a read-only disk refuses every change and accepts a flush", "virtio 1.2 5.2.6.2", read_only},
    {"blk.nodisk", "without a medium every request but GET_ID is IOERR", "device page, 6", no_medium},
    {"blk.flush", "FLUSH completes; its sector is ignored", "virtio 1.2 5.2.6", flush},
    {"blk.get-id", "GET_ID gives 20 bytes, or what fits", "virtio 1.2 5.2.6", get_id},
    {"blk.unknown", "an unknown type is UNSUPP and completed", "virtio 1.2 5.2.6.2", unknown_types},
    {"blk.short-header", "a request without a whole header is IOERR", "virtio 0.9.5 appendix D", short_header},
    {"blk.not-accepted", "DISCARD and WRITE_ZEROES are UNSUPP if not accepted", "virtio 1.2 5.2.6.2",
     discard_not_accepted},
    {"blk.segments", "every segment is checked before the first is carried out", "device page, 7",
     segments_checked_first},
    {"blk.write-zeroes", "WRITE_ZEROES zeroes its segments and nothing else", "virtio 1.2 5.2.6.2", write_zeroes},
};

}  // namespace

std::span<const Clause> block_clauses() { return kClauses; }

}  // namespace acrn
