// The legacy header in BAR0 and the configuration behind it: every register, width and offset
// (virtio 0.9.5 2.2.2; virtio 1.2 5.2.4).
// COVERS(reg.reset, reg.features, reg.offered, reg.queues, reg.widths, ring.early-kicks)
#include <algorithm>
#include <array>
#include <cstring>

#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr unsigned kBarBytes = 128;
using Image = std::array<uint8_t, kBarBytes>;

void put(Image& image, unsigned offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; i++) image[offset + i] = static_cast<uint8_t>(value >> (8 * i));
}

Image read_image(DeviceFixture& bench) {
  Image image{};
  for (unsigned i = 0; i < kBarBytes; i++) image[i] = static_cast<uint8_t>(bench.function().bar_read(0, i, 1));
  return image;
}

VirtioBlkConfig expected_config(unsigned queues, uint16_t seg_max, uint64_t sectors) {
  VirtioBlkConfig config{};
  config.capacity = sectors;
  config.seg_max = seg_max;
  config.cylinders = static_cast<uint16_t>(sectors / (255 * 63));
  config.heads = 255;
  config.sectors = 63;
  config.blk_size = 512;
  config.min_io_size = 1;
  config.num_queues = static_cast<uint16_t>(queues);
  return config;
}

// What a running function with two queues of 64 shows while queue 0 is selected.
Image expected_image(RawGuest& guest, bool msix) {
  Image image;
  image.fill(0xff);
  put(image, VIRTIO_PCI_HOST_FEATURES, 4, guest.offered());
  put(image, VIRTIO_PCI_GUEST_FEATURES, 4, guest.accepted());
  put(image, VIRTIO_PCI_QUEUE_PFN, 4, guest.ring().pfn());
  put(image, VIRTIO_PCI_QUEUE_NUM, 2, 64);
  put(image, VIRTIO_PCI_QUEUE_SEL, 2, 0);
  put(image, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
  put(image, VIRTIO_PCI_STATUS, 1, 7);
  put(image, VIRTIO_PCI_ISR, 1, 0);
  if (msix) {
    put(image, VIRTIO_MSI_CONFIG_VECTOR, 2, 0);
    put(image, VIRTIO_MSI_QUEUE_VECTOR, 2, 1);
  }
  const VirtioBlkConfig config = expected_config(2, 62, 4 * kMiB / kSector);
  std::memcpy(image.data() + (msix ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX), &config,
              VIRTIO_BLK_CONFIG_SIZE);
  return image;
}

uint64_t little_endian(const Image& image, unsigned offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; i++) value |= uint64_t{image[offset + i]} << (8 * i);
  return value;
}

void check_all_reads(InterruptMode mode) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest(kNoEventIndex, mode);
  const Image expected = expected_image(guest, mode == InterruptMode::kMsix);
  for (const unsigned size : {1u, 2u, 4u, 8u}) {
    for (unsigned offset = 0; offset < kBarBytes + 8; offset++) {
      row("offset " + std::to_string(offset) + " size " + std::to_string(size), [&] {
        const uint64_t value = bench.function().bar_read(0, offset, size);
        const uint64_t mask = size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
        const bool inside = size <= 4 && offset + size <= kBarBytes;
        EXPECT_EQ(value & mask, inside ? little_endian(expected, offset, size) : mask);
        if (inside) EXPECT_EQ(guest.function().in(offset, size), value & mask);
      });
    }
  }
  EXPECT_EQ(bench.function().bar_read(0, ~uint64_t{0}, 4) & 0xffffffff, 0xffffffffu);
  expect_serves(guest);
}

// COVERS(Q17): every register, width and offset
TEST(every_register_reads_right_at_every_width_and_offset_without_msix) { check_all_reads(InterruptMode::kIntx); }

// COVERS(Q17): every register, width and offset
TEST(every_register_reads_right_at_every_width_and_offset_with_msix) { check_all_reads(InterruptMode::kMsix); }

struct Field {
  unsigned offset, size;
};

bool is_register(std::span<const Field> fields, unsigned offset, unsigned size) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const Field& field) { return field.offset == offset && field.size == size; });
}

void check_all_wrong_writes(InterruptMode mode) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest(kNoEventIndex & ~feature(VIRTIO_BLK_F_CONFIG_WCE), mode);
  const Image before = read_image(bench);
  std::vector<Field> registers{{VIRTIO_PCI_QUEUE_PFN, 4},
                               {VIRTIO_PCI_QUEUE_SEL, 2},
                               {VIRTIO_PCI_QUEUE_SEL, 1},
                               {VIRTIO_PCI_QUEUE_NOTIFY, 2},
                               {VIRTIO_PCI_STATUS, 1}};
  if (mode == InterruptMode::kMsix) {
    registers.push_back({VIRTIO_MSI_CONFIG_VECTOR, 2});
    registers.push_back({VIRTIO_MSI_QUEUE_VECTOR, 2});
  }
  for (const unsigned size : {1u, 2u, 4u, 8u}) {
    for (unsigned offset = 0; offset < kBarBytes + 8; offset++) {
      if (is_register(registers, offset, size)) continue;
      row("offset " + std::to_string(offset) + " size " + std::to_string(size), [&] {
        bench.function().bar_write(0, offset, size, 0x0101010101010101);
        EXPECT(read_image(bench) == before);
      });
    }
  }
  for (const GuestRule rule :
       {GuestRule::kRegisterWidth, GuestRule::kRegisterReadOnly, GuestRule::kFeaturesAfterDriverOk,
        GuestRule::kConfigReadOnly, GuestRule::kWceNotAccepted}) {
    row(std::string(text(rule).name), [&] { EXPECT(bench.guest_errors(rule) > 0); });
  }
  expect_serves(guest);
}

TEST(a_write_of_a_wrong_width_or_offset_changes_nothing_without_msix) { check_all_wrong_writes(InterruptMode::kIntx); }

// COVERS(Q17): every register, width and offset
TEST(a_write_of_a_wrong_width_or_offset_changes_nothing_with_msix) { check_all_wrong_writes(InterruptMode::kMsix); }

TEST(a_queue_selected_by_one_byte_is_selected_and_counted) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_QUEUE_SEL, 2, 0x0101);
  guest.function().out(VIRTIO_PCI_QUEUE_SEL, 1, 1);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_SEL, 2), 1u);
  EXPECT_EQ(bench.guest_errors(GuestRule::kRegisterWidth), 1u);
  expect_serves_after_restart(guest);
}

TEST(a_register_that_is_only_read_counts_each_write) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_PCI_HOST_FEATURES, 4, 0);
  guest.function().out(VIRTIO_PCI_QUEUE_NUM, 2, 8);
  guest.function().out(VIRTIO_PCI_ISR, 1, 3);
  EXPECT_EQ(bench.guest_errors(GuestRule::kRegisterReadOnly), 3u);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_QUEUE_NUM, 2), 64u);
  expect_serves(guest);
}

TEST(guest_features_keep_what_is_offered_until_driver_ok) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  EXPECT_EQ(function.in(VIRTIO_PCI_GUEST_FEATURES, 4), 0u);
  function.out(VIRTIO_PCI_GUEST_FEATURES, 4, 0xffffffff);
  EXPECT_EQ(function.in(VIRTIO_PCI_GUEST_FEATURES, 4), static_cast<uint32_t>(guest.offered()));
  EXPECT_EQ(bench.guest_errors(GuestRule::kFeatureNotOffered), 1u);
  const auto flush = static_cast<uint32_t>(feature(VIRTIO_BLK_F_FLUSH));
  function.out(VIRTIO_PCI_GUEST_FEATURES, 4, flush);
  function.out(VIRTIO_PCI_STATUS, 1, 7);
  function.out(VIRTIO_PCI_GUEST_FEATURES, 4, 0);
  EXPECT_EQ(function.in(VIRTIO_PCI_GUEST_FEATURES, 4), flush);
  EXPECT_EQ(bench.guest_errors(GuestRule::kFeaturesAfterDriverOk), 1u);
  expect_serves_after_restart(guest);
}

// COVERS(Q3): head or next past the table, unknown queue
TEST(a_queue_that_does_not_exist_reads_as_none_and_takes_nothing) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  for (const uint32_t queue : {2u, 3u, 64u, 0x7fffu, 0xffffu}) {
    row("queue " + std::to_string(queue), [&] {
      function.out(VIRTIO_PCI_QUEUE_SEL, 2, queue);
      EXPECT_EQ(function.in(VIRTIO_PCI_QUEUE_SEL, 2), queue);
      EXPECT_EQ(function.in(VIRTIO_PCI_QUEUE_NUM, 2), 0u);
      function.out(VIRTIO_PCI_QUEUE_PFN, 4, 0x200);
      EXPECT_EQ(function.in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);
      function.out(VIRTIO_MSI_QUEUE_VECTOR, 2, 1);
      EXPECT_EQ(function.in(VIRTIO_MSI_QUEUE_VECTOR, 2), 0xffffu);
      function.out(VIRTIO_PCI_QUEUE_NOTIFY, 2, queue);
    });
  }
  EXPECT_EQ(bench.guest_errors(GuestRule::kNotifyUnknownQueue), 5u);
  expect_serves(guest);
}

TEST(status_0_puts_every_register_back) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  function.out(VIRTIO_PCI_QUEUE_SEL, 2, 1);
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  EXPECT_EQ(function.in(VIRTIO_PCI_STATUS, 1), 0u);
  EXPECT_EQ(function.in(VIRTIO_PCI_GUEST_FEATURES, 4), 0u);
  EXPECT_EQ(function.in(VIRTIO_PCI_QUEUE_SEL, 2), 0u);
  EXPECT_EQ(function.in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);
  EXPECT_EQ(function.in(VIRTIO_PCI_ISR, 1), 0u);
  EXPECT_EQ(function.in(VIRTIO_MSI_CONFIG_VECTOR, 2), 0xffffu);  // MSI-X stays on: it is the PCI function's
  EXPECT_EQ(function.in(VIRTIO_MSI_QUEUE_VECTOR, 2), 0xffffu);
  expect_serves_after_restart(guest);
}

TEST(status_keeps_every_other_value) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (const uint32_t status : {1u, 3u, 7u, 0x83u, 0xffu, 0x10u}) {
    guest.function().out(VIRTIO_PCI_STATUS, 1, status);
    EXPECT_EQ(guest.function().in(VIRTIO_PCI_STATUS, 1), status);
  }
  expect_serves_after_restart(guest);
}

struct FeatureCase {
  const char* name;
  bool read_only, discard;
  unsigned queues;
  std::vector<unsigned> bits;
};

TEST(the_offered_features_follow_the_options) {
  const std::vector<unsigned> always{2, 6, 10, 27, 28, 29};
  const FeatureCase cases[] = {
      {"plain", false, false, 1, {9, 11}},
      {"ro", true, false, 1, {5}},
      {"discard", false, true, 1, {9, 11, 13, 14}},
      {"ro,discard", true, true, 1, {5}},
      {"mq", false, false, 4, {9, 11, 12}},
      {"ro,mq", true, false, 4, {5, 12}},
      {"discard,mq", false, true, 4, {9, 11, 12, 13, 14}},
      {"ro,discard,mq", true, true, 4, {5, 12}},
  };
  for (const FeatureCase& wanted : cases) {
    for (const bool attached : {true, false}) {
      row(std::string(wanted.name) + (attached ? "" : " nodisk"), [&] {
        uint64_t bits = 0;
        for (const unsigned bit : always) bits |= feature(bit);
        for (const unsigned bit : wanted.bits) bits |= feature(bit);
        DeviceFixture bench(
            {.device = {.queues = wanted.queues, .read_only = wanted.read_only, .discard = wanted.discard},
             .attached = attached});
        EXPECT_EQ(bench.guest().offered(), bits);
      });
    }
  }
}

}  // namespace
}  // namespace acrn
