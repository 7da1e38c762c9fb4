// Device configuration: what the fields say for the options, who may write them, and that a driver without a
// generation counter never puts two capacities together (virtio 1.2 5.2.4).
// COVERS(config.values, config.read-only, config.writeback)
#include <array>
#include <thread>

#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

struct ConfigField {
  const char* name;
  unsigned offset, size;
  uint32_t value;
};

void check_fields(RawGuest& guest, std::span<const ConfigField> fields) {
  for (const ConfigField& field : fields) {
    row(field.name, [&] { EXPECT_EQ(guest.config(field.offset, field.size), field.value); });
  }
}

TEST(the_configuration_describes_the_disk_and_the_options) {
  DeviceFixture bench({.device = {.queues = 3,
                                  .queue_size = 128,
                                  .writeback = true,
                                  .logical_block = 1024,
                                  .discard = true,
                                  .max_discard_sectors = 1000,
                                  .max_discard_segments = 7,
                                  .discard_alignment = 16},
                       .medium = {.size = 16 * kMiB, .physical_block = 8192}});
  RawGuest guest = bench.guest();
  const ConfigField fields[] = {
      {"capacity low", 0, 4, 32768},
      {"capacity high", 4, 4, 0},
      {"size_max", 8, 4, 0},
      {"seg_max", 12, 4, 126},
      {"cylinders", 16, 2, 2},
      {"heads", 18, 1, 255},
      {"sectors", 19, 1, 63},
      {"blk_size", 20, 4, 1024},
      {"physical_block_exp", 24, 1, 3},
      {"alignment_offset", 25, 1, 0},
      {"min_io_size", 26, 2, 8},
      {"opt_io_size", 28, 4, 0},
      {"writeback", 32, 1, 1},
      {"unused0", 33, 1, 0},
      {"num_queues", 34, 2, 3},
      {"max_discard_sectors", 36, 4, 1000},
      {"max_discard_seg", 40, 4, 7},
      {"discard_sector_alignment", 44, 4, 16},
      {"max_write_zeroes_sectors", 48, 4, 1000},
      {"max_write_zeroes_seg", 52, 4, 7},
      {"write_zeroes_may_unmap", 56, 1, 1},
      {"unused1", 57, 2, 0},
      {"behind the end", 60, 4, 0xffffffff},
  };
  check_fields(guest, fields);
}

TEST(without_discard_or_on_ro_the_discard_fields_are_0) {
  for (const bool read_only : {false, true}) {
    DeviceFixture bench({.device = {.read_only = read_only, .discard = read_only}});
    RawGuest guest = bench.guest();
    for (unsigned offset = 36; offset < 60; offset++) EXPECT_EQ(guest.config(offset, 1), 0u);
  }
}

// COVERS(virtio 1.2 5.2.4): seg_max leaves room for header and status
TEST(seg_max_leaves_room_for_header_and_status) {
  for (const auto& [size, seg_max] : std::array<std::pair<uint16_t, uint32_t>, 4>{
           {{uint16_t{4}, 2u}, {uint16_t{64}, 62u}, {uint16_t{128}, 126u}, {uint16_t{1024}, 1022u}}}) {
    DeviceFixture bench({.device = {.queue_size = size}});
    RawGuest guest = bench.guest();
    EXPECT_EQ(guest.config(12, 4), seg_max);
  }
}

TEST(only_writeback_is_writable_and_only_after_config_wce) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kNoEventIndex & ~feature(VIRTIO_BLK_F_CONFIG_WCE));
  guest.write_config(32, 1, 1);
  EXPECT_EQ(guest.config(32, 1), 0u);
  EXPECT_EQ(bench.guest_errors(GuestRule::kWceNotAccepted), 1u);
  must(guest.restart(kNoEventIndex));
  guest.write_config(32, 1, 1);
  EXPECT_EQ(guest.config(32, 1), 1u);
  guest.write_config(32, 1, 0x80);
  EXPECT_EQ(guest.config(32, 1), 1u);
  guest.write_config(32, 1, 0);
  EXPECT_EQ(guest.config(32, 1), 0u);
  guest.write_config(0, 4, 0x12345678);
  EXPECT_EQ(guest.capacity(), 4 * kMiB / kSector);
  EXPECT_EQ(bench.guest_errors(GuestRule::kConfigReadOnly), 4u);
  expect_serves(guest);
}

// Sector counts whose halves and bytes, put together wrongly, are larger than both.
constexpr uint64_t kSmall = 0xffff'fff0, kLarge = 0x1'0000'0010;

DeviceFixture& resized(DeviceFixture& bench, uint64_t sectors) {
  bench.disk().set_size(sectors * kSector);
  EXPECT_EQ(must(bench.device().resize()), sectors * kSector);
  return bench;
}

// Reads the capacity in `step`s; after each of them the disk may change size.
template <class Between>
uint64_t read_in_steps(RawGuest& guest, unsigned step, bool downwards, Between between) {
  uint64_t value = 0;
  for (unsigned i = 0; i < 8 / step; i++) {
    const unsigned offset = (downwards ? 8 / step - 1 - i : i) * step;
    value |= uint64_t{guest.config(offset, step)} << (8 * offset);
    between(i);
  }
  return value;
}

void check_capacity_reads(unsigned step, bool downwards, uint64_t before, uint64_t after) {
  for (unsigned at = 0; at < 8 / step; at++) {
    DeviceFixture bench;
    RawGuest guest = bench.guest();
    resized(bench, before);
    read_in_steps(guest, step, downwards, [](unsigned) {});
    const uint64_t seen = read_in_steps(guest, step, downwards, [&](unsigned i) {
      if (i == at) resized(bench, after);
    });
    EXPECT(seen == before || seen == after);
    EXPECT_EQ(read_in_steps(guest, step, downwards, [](unsigned) {}), after);
  }
}

// COVERS(B17): capacity read in parts during a resize
TEST(a_capacity_read_in_parts_during_a_resize_is_one_of_the_two) {
  for (const unsigned step : {1u, 2u, 4u}) {
    for (const bool downwards : {false, true}) {
      row("step " + std::to_string(step) + (downwards ? " downwards" : ""), [&] {
        check_capacity_reads(step, downwards, kSmall, kLarge);
        check_capacity_reads(step, downwards, kLarge, kSmall);
      });
    }
  }
}

// Someone has looked at a part of the capacity before, say at every register in turn.
struct Stray {
  unsigned at, size;
};

void check_after_a_stray_read(Stray stray, unsigned step, uint64_t before, uint64_t after) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  resized(bench, before);
  read_in_steps(guest, step, false, [](unsigned) {});
  guest.config(stray.at, stray.size);
  resized(bench, after);
  const uint64_t seen = read_in_steps(guest, step, false, [](unsigned) {});
  EXPECT(seen == before || seen == after);
}

TEST(a_capacity_read_after_a_stray_read_and_a_resize_is_one_of_the_two) {
  for (const Stray stray : {Stray{1, 1}, Stray{3, 1}, Stray{7, 1}, Stray{2, 4}, Stray{3, 2}, Stray{6, 2}}) {
    for (const unsigned step : {1u, 2u, 4u}) {
      row("stray " + std::to_string(stray.size) + " at " + std::to_string(stray.at) + ", step " + std::to_string(step),
          [&] {
            check_after_a_stray_read(stray, step, kSmall, kLarge);
            check_after_a_stray_read(stray, step, kLarge, kSmall);
          });
    }
  }
}

// COVERS(B17): capacity read in parts during a resize
TEST(a_capacity_read_by_halves_while_another_thread_resizes_is_one_of_the_two) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  resized(bench, kSmall);
  std::thread resizer([&] {
    for (int i = 0; i < 500; i++) resized(bench, i % 2 == 0 ? kLarge : kSmall);
  });
  uint64_t strange = 0;
  for (int i = 0; i < 2000; i++) {
    const uint64_t seen = guest.capacity();
    if (seen != kSmall && seen != kLarge) strange = seen;
  }
  resizer.join();
  EXPECT_EQ(strange, 0u);
}

}  // namespace
}  // namespace acrn
