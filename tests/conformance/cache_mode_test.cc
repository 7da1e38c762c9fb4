// Who decides whether a write is stable before it completes (device.md 6, virtio 1.2 5.2.6.2; rows B12, B13).
// COVERS(config.writeback, blk.flush)
#include <optional>

#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint64_t kFlush = feature(VIRTIO_BLK_F_FLUSH), kWce = feature(VIRTIO_BLK_F_CONFIG_WCE);
constexpr uint64_t kNeither = kNoEventIndex & ~kFlush & ~kWce;
constexpr unsigned kWriteback = 32;  // its offset in the configuration

bool write_is_stable(DeviceFixture& bench, RawGuest& guest) {
  std::vector<std::byte> data(kSector);
  bench.disk().take_seen();
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 0, data)->status, VIRTIO_BLK_S_OK);
  const auto seen = bench.disk().take_seen();
  EXPECT_EQ(seen.size(), 1u);
  return seen[0].stable;
}

struct ModeCase {
  const char* name;
  uint64_t features;
  std::optional<uint32_t> toggle;  // what the guest writes to `writeback`
  bool writeback_option, stable;
};

// COVERS(virtio 1.2 5.2.6.2): who decides whether a write is stable
// COVERS(B12): neither FLUSH nor CONFIG_WCE
TEST(a_write_is_stable_as_option_features_and_guest_say) {
  const ModeCase cases[] = {
      {"writethru, neither", kNeither, {}, false, true},
      {"writethru, flush", kNeither | kFlush, {}, false, true},
      {"writethru, wce", kNeither | kWce, {}, false, true},
      {"writethru, both", kNoEventIndex, {}, false, true},
      {"writethru, both, on", kNoEventIndex, 1, false, false},
      {"writethru, wce, on", kNeither | kWce, 1, false, false},
      {"writethru, flush, on", kNeither | kFlush, 1, false, true},
      {"writethru, neither, on", kNeither, 1, false, true},
      {"writeback, neither", kNeither, {}, true, true},
      {"writeback, neither, on", kNeither, 1, true, true},
      {"writeback, flush", kNeither | kFlush, {}, true, false},
      {"writeback, flush, off", kNeither | kFlush, 0, true, false},
      {"writeback, wce", kNeither | kWce, {}, true, true},
      {"writeback, wce, on", kNeither | kWce, 1, true, false},
      {"writeback, wce, off", kNeither | kWce, 0, true, true},
      {"writeback, both", kNoEventIndex, {}, true, false},
      {"writeback, both, off", kNoEventIndex, 0, true, true},
      {"writeback, both, on", kNoEventIndex, 1, true, false},
  };
  for (const ModeCase& mode : cases) {
    row(mode.name, [&] {
      DeviceFixture bench({.device = {.writeback = mode.writeback_option}});
      RawGuest guest = bench.guest(mode.features);
      if (mode.toggle) guest.write_config(kWriteback, 1, *mode.toggle);
      EXPECT_EQ(write_is_stable(bench, guest), mode.stable);
      expect_serves(guest);
    });
  }
}

TEST(writeback_begins_as_0_for_who_accepts_config_wce_without_flush) {
  for (const bool option : {false, true}) {
    DeviceFixture bench({.device = {.writeback = option}});
    RawGuest guest = bench.guest(kNeither | kWce);
    EXPECT_EQ(guest.config(kWriteback, 1), 0u);
    must(guest.restart(kNoEventIndex));
    EXPECT_EQ(guest.config(kWriteback, 1), option ? 1u : 0u);
  }
}

TEST(features_that_are_written_again_do_not_undo_what_the_guest_chose) {
  DeviceFixture bench({.device = {.writeback = true}});
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
  guest.function().out(VIRTIO_PCI_GUEST_FEATURES, 4, static_cast<uint32_t>(kNeither | kFlush | kWce));
  guest.write_config(kWriteback, 1, 0);
  guest.function().out(VIRTIO_PCI_GUEST_FEATURES, 4, static_cast<uint32_t>(kNeither | kFlush | kWce));
  EXPECT_EQ(guest.config(kWriteback, 1), 0u);
}

// As when a guest's firmware comes first, and its VMM does not tell of the reset in between.
TEST(a_driver_with_flush_has_the_mode_of_the_command_line_after_one_without) {
  for (const bool option : {false, true}) {
    for (const uint64_t first : {kNeither, kNeither | kWce}) {
      DeviceFixture bench({.device = {.writeback = option}});
      RawGuest guest = bench.guest(first);
      EXPECT_EQ(guest.config(kWriteback, 1), 0u);
      for (const uint64_t next : {kNoEventIndex, kNeither | kFlush}) {
        bench.device().set_features(guest.offered() & next);
        EXPECT_EQ(guest.config(kWriteback, 1), option ? 1u : 0u);
        EXPECT_EQ(write_is_stable(bench, guest), !option);
      }
    }
  }
}

TEST(write_zeroes_follows_the_same_rule) {
  for (const bool writeback : {false, true}) {
    DeviceFixture bench({.device = {.writeback = writeback, .discard = true}});
    RawGuest guest = bench.guest();
    const VirtioBlkDiscardWriteZeroes list[] = {{uint64_t{0}, uint32_t{8}, uint32_t{0}}};
    EXPECT_EQ(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list)->status, VIRTIO_BLK_S_OK);
    EXPECT_EQ(bench.disk().take_seen()[0].stable, !writeback);
  }
}

TEST(a_flush_reaches_the_disk_in_either_mode) {
  for (const bool writeback : {false, true}) {
    DeviceFixture bench({.device = {.writeback = writeback}});
    RawGuest guest = bench.guest();
    EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_OK);
    const auto seen = bench.disk().take_seen();
    EXPECT_EQ(seen.size(), 1u);
    EXPECT(seen[0].op == BlockOp::kFlush);
  }
}

// COVERS(B13): `writeback` toggled, then reset
TEST(the_mode_may_change_between_any_two_writes) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (int i = 0; i < 10; i++) {
    const bool writeback = i % 2 == 0;
    guest.write_config(kWriteback, 1, writeback ? 1 : 0);
    EXPECT_EQ(guest.config(kWriteback, 1), writeback ? 1u : 0u);
    EXPECT_EQ(write_is_stable(bench, guest), !writeback);
  }
}

// Reset comes while writes are in flight and the guest has turned the mode round.
void check_reset_with_toggle_in_flight(bool writeback_option) {
  DeviceFixture bench({.device = {.writeback = writeback_option}});
  RawGuest guest = bench.guest();
  guest.write_config(kWriteback, 1, writeback_option ? 0 : 1);
  bench.faults().hold();
  std::vector<ReadyRequest> writes;
  for (uint16_t head = 0; head < 8; head++) {
    writes.push_back(ready_request(guest, head, VIRTIO_BLK_T_OUT, head, kSector));
    guest.offer(head);
  }
  guest.kick();
  bench.faults().wait_for_held(8);
  guest.write_config(kWriteback, 1, writeback_option ? 1 : 0);
  guest.write_config(kWriteback, 1, writeback_option ? 0 : 1);
  expect_waits_for_release(bench.faults(), [&] { guest.function().out(VIRTIO_PCI_STATUS, 1, 0); });
  EXPECT_EQ(guest.config(kWriteback, 1), writeback_option ? 1u : 0u);
  // Each write had the mode of the time when it was parsed.
  for (const auto& seen : bench.disk().take_seen()) EXPECT_EQ(seen.stable, writeback_option);
  must(guest.restart(kNoEventIndex));
  EXPECT_EQ(write_is_stable(bench, guest), !writeback_option);
  must(guest.restart(kNoEventIndex & ~kWce));
  EXPECT_EQ(write_is_stable(bench, guest), !writeback_option);
}

// COVERS(B13): `writeback` toggled, then reset
TEST(reset_with_writes_in_flight_returns_to_writethru_of_the_command_line) { check_reset_with_toggle_in_flight(false); }

// COVERS(B13): `writeback` toggled, then reset
TEST(reset_with_writes_in_flight_returns_to_writeback_of_the_command_line) { check_reset_with_toggle_in_flight(true); }

TEST(a_read_only_disk_offers_no_cache_mode) {
  DeviceFixture bench({.device = {.read_only = true, .writeback = true}});
  RawGuest guest = bench.guest();
  EXPECT_EQ(guest.offered() & (kFlush | kWce), 0u);
  guest.write_config(kWriteback, 1, 0);
  EXPECT_EQ(bench.guest_errors(GuestRule::kWceNotAccepted), 1u);
}

}  // namespace
}  // namespace acrn
