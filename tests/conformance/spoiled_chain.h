// A good read of sector 0, and what a hostile guest makes of it: tables of spoiled chains are made of this.
#pragma once

#include "tests/support/device_fixture.h"

namespace acrn::test {

struct GoodRead {
  RawGuest& guest;
  Gpa header, status;
  Guarded data;

  explicit GoodRead(RawGuest& raw_guest, uint32_t bytes = kSector)
      : guest(raw_guest), header(guest.header(VIRTIO_BLK_T_IN, 0)), status(guest.status()), data(guest, bytes) {}

  // Descriptors 0, 1, 2 of the ring.
  void direct() {
    const RawGuest::Piece pieces[] = {{header, 16, false}, {data.gpa(), data.bytes(), true}, {status, 1, true}};
    guest.chain(0, pieces);
  }
  // Entries 0, 1, 2 of a table; descriptor 0 of the ring refers to it. Returns the table, which has room for
  // more.
  Gpa indirect() {
    const Gpa table = guest.memory(4096 * sizeof(VringDesc));
    entry(table, 0, {raw(header), uint32_t{16}, VRING_DESC_F_NEXT, uint16_t{1}});
    entry(table, 1, {raw(data.gpa()), data.bytes(), uint16_t{VRING_DESC_F_NEXT | VRING_DESC_F_WRITE}, uint16_t{2}});
    entry(table, 2, {raw(status), uint32_t{1}, VRING_DESC_F_WRITE, uint16_t{0}});
    guest.set(0, table, 3 * sizeof(VringDesc), VRING_DESC_F_INDIRECT);
    return table;
  }
  void entry(Gpa table, uint16_t index, const VringDesc& desc) {
    guest.at(Gpa{raw(table) + sizeof(VringDesc) * index}, sizeof(VringDesc)).store(0, desc);
  }
  void expect_done() {
    const auto used = guest.run(uint16_t{0});
    EXPECT(used.has_value());
    EXPECT_EQ(uint32_t{used->id}, 0u);
    EXPECT_EQ(uint32_t{used->len}, data.bytes() + 1);
    EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_OK);
    EXPECT(data.holds_disk(0) && data.canaries_intact());
  }
  // Refused: an error in the status byte, and nothing else written.
  void expect_error() {
    const auto used = guest.run(uint16_t{0});
    EXPECT(used.has_value());
    EXPECT_EQ(uint32_t{used->id}, 0u);
    EXPECT_EQ(uint32_t{used->len}, 1u);
    EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
    EXPECT(data.untouched());
  }
  // Not to be answered: it does not come back, which a driver could take for success, and the queue stops.
  void expect_stopped(DeviceFixture& bench) {
    const uint64_t stops = bench.device().stats(0).stops;
    const uint16_t used = guest.ring().used_index();
    guest.offer(0);
    guest.kick();
    EXPECT(wait_until([&] { return bench.device().stats(0).stopped; }));
    EXPECT_EQ(bench.device().stats(0).stops, stops + 1);
    bench.settle();
    EXPECT_EQ(guest.ring().used_index(), used);
    EXPECT_EQ(guest.byte(status), RawGuest::kNoStatus);
    EXPECT(data.untouched());
  }
  // Nothing comes back of a queue that has stopped, until it is reset.
  void expect(bool answered, DeviceFixture& bench) {
    if (answered) return expect_error();
    const uint64_t stops = bench.device().stats(0).stops;
    expect_stopped(bench);
    must(guest.restart(guest.accepted()));
    EXPECT(!bench.device().stats(0).stopped);
    EXPECT_EQ(bench.device().stats(0).stops, stops + 1);
  }
};

inline constexpr bool kAnswered = true, kStops = false;

}  // namespace acrn::test
