// What a driver may expect of a PCI function, whichever way it gets to it: on the board's own bus, in a machine, in one
// over ACRN's module, over vfio-user, or through the C library. One test for each sentence and way.
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "dm/loopback/legacy_driver.h"
#include "dm/loopback/raw_guest.h"
#include "tests/contract/pci_access_path.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

#define CONTRACT(sentence, disk)                                                   \
  static void sentence(AccessPath& reach);                                         \
  TEST(sentence##_directly) { sentence(*reach_directly({disk})); }                 \
  TEST(sentence##_on_the_machine) { sentence(*reach_on_the_machine({disk})); }     \
  TEST(sentence##_over_the_hsm) { sentence(*reach_over_the_hsm({disk})); }         \
  TEST(sentence##_over_vfio_user) { sentence(*reach_over_vfio_user({disk})); }     \
  TEST(sentence##_over_vhost_user) { sentence(*reach_over_vhost_user({disk})); }   \
  TEST(sentence##_by_the_library) { sentence(*reach_by_the_library({disk})); }     \
  TEST(sentence##_by_its_eventfds) { sentence(*reach_by_its_eventfds({disk})); }   \
  TEST(sentence##_by_its_registers) { sentence(*reach_by_its_registers({disk})); } \
  static void sentence(AccessPath& reach)

constexpr uint64_t kMiB = 1 << 20;

GuestFunction probe(AccessPath& reach) {
  auto function = GuestFunction::probe(reach.board(), AccessPath::kAddress);
  EXPECT(function.has_value());
  return *function;
}

std::unique_ptr<LegacyDriver> drive(AccessPath& reach, const DriverOptions& options = {}) {
  return must(LegacyDriver::start(reach.board(), AccessPath::kAddress, options));
}

std::vector<std::byte> some_data(size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; i++) data[i] = static_cast<std::byte>(i * 31 + i / 512 * 7 + seed);
  return data;
}

void expect_keeps_data(LegacyDriver& driver, unsigned seed = 1) {
  const auto data = some_data(32 * 1024, seed);
  EXPECT_EQ(must(driver.write(3, data)), VIRTIO_BLK_S_OK);
  std::vector<std::byte> back(data.size());
  EXPECT_EQ(must(driver.read(3, back)), VIRTIO_BLK_S_OK);
  EXPECT(back == data);
}

RawGuest raw_guest(AccessPath& reach, InterruptMode interrupts) {
  return must(RawGuest::start(reach.board(), AccessPath::kAddress, ~feature(VIRTIO_RING_F_EVENT_IDX), interrupts));
}

void start_flush(RawGuest& guest) {
  const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_FLUSH, 0), sizeof(VirtioBlkOuthdr), false},
                                    {guest.status(), 1, true}};
  guest.chain(0, pieces);
  guest.offer(0);
  guest.kick();
}

}  // namespace

CONTRACT(configuration_space_says_what_it_is, "ram:1M") {
  const GuestFunction function = probe(reach);
  EXPECT_EQ(function.config_read(0x00, 4), 0x1001'1af4u);
  EXPECT_EQ(function.config_read(0x08, 4), 0x0100'0000u);
  EXPECT_EQ(function.config_read(0x2c, 4), 0x0002'1af4u);
  EXPECT_EQ(function.config_read(0x0e, 1), 0u);
  EXPECT_EQ(function.config_read(0x3d, 1), 1u);
  EXPECT(function.capability(0x11).has_value());
}

CONTRACT(configuration_space_is_read_in_any_width, "ram:1M") {
  const GuestFunction function = probe(reach);
  const uint32_t word = function.config_read(0x2c, 4);
  for (unsigned i = 0; i < 4; i++) EXPECT_EQ(function.config_read(0x2c + i, 1), word >> (8 * i) & 0xff);
  EXPECT_EQ(function.config_read(0x2e, 2), word >> 16);
}

CONTRACT(what_is_read_only_stays, "ram:1M") {
  const GuestFunction function = probe(reach);
  function.config_write(0x00, 4, 0x1234'5678);
  EXPECT_EQ(function.config_read(0x00, 4), 0x1001'1af4u);
  function.config_write(0x30, 4, 0xffff'f800);  // no ROM
  EXPECT_EQ(function.config_read(0x30, 4), 0u);
  function.config_write(0x3c, 1, 0x0b);
  EXPECT_EQ(function.config_read(0x3c, 1), 0x0bu);
}

CONTRACT(bars_are_sized_and_say_their_kind, "ram:1M") {
  const GuestFunction function = probe(reach);
  EXPECT(function.bar(0).kind == BarKind::kIo);
  EXPECT(function.bar(0).size >= 24 && (function.bar(0).size & (function.bar(0).size - 1)) == 0);
  EXPECT(function.bar(1).kind == BarKind::kMemory32);
  EXPECT_EQ(function.bar(1).size, 4096u);
  EXPECT_EQ(function.config_read(0x10, 4) & 3, 1u);
}

CONTRACT(registers_follow_their_bar, "ram:1M") {
  GuestFunction function = probe(reach);
  const uint32_t features = function.in(VIRTIO_PCI_HOST_FEATURES, 4);
  EXPECT(features != 0 && features != ~0u);
  const auto old = static_cast<uint16_t>(function.bar(0).address);
  while (function.bar(0).address == old) function.move_register_bar();
  EXPECT_EQ(function.in(VIRTIO_PCI_HOST_FEATURES, 4), features);
  EXPECT_EQ(reach.board().in(old, 4), ~0u);
}

CONTRACT(registers_are_silent_while_decoding_is_off, "ram:1M") {
  const GuestFunction function = probe(reach);
  function.config_write(0x04, 2, 0);
  EXPECT_EQ(function.in(VIRTIO_PCI_HOST_FEATURES, 4), ~0u);
  function.config_write(0x04, 2, 7);
  EXPECT(function.in(VIRTIO_PCI_HOST_FEATURES, 4) != ~0u);
}

CONTRACT(registers_are_read_in_any_width_at_any_offset, "ram:1M") {
  const GuestFunction function = probe(reach);
  const uint32_t features = function.in(VIRTIO_PCI_HOST_FEATURES, 4);
  for (unsigned i = 0; i < 4; i++) EXPECT_EQ(function.in(i, 1), features >> (8 * i) & 0xff);
  EXPECT_EQ(function.in(1, 2), features >> 8 & 0xffff);
}

CONTRACT(data_comes_back_with_msix, "ram:8M") {
  const auto driver = drive(reach);
  EXPECT(driver->interrupt_mode() == InterruptMode::kMsix);
  expect_keeps_data(*driver);
}

CONTRACT(data_comes_back_with_intx, "ram:8M") {
  const auto driver = drive(reach, {.interrupts = InterruptMode::kIntx});
  EXPECT(driver->interrupt_mode() == InterruptMode::kIntx);
  for (unsigned i = 0; i < 50; i++) expect_keeps_data(*driver, i);
}

CONTRACT(every_queue_serves_its_own_requests, "mq=4,ram:8M") {
  const auto driver = drive(reach, {.depth = 8});
  EXPECT_EQ(driver->queue_count(), 4u);
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> cpus;
  for (unsigned q = 0; q < driver->queue_count(); q++) {
    cpus.emplace_back([&, q] {
      DriverQueue& queue = driver->queue(q);
      unsigned started = 0, done = 0;
      constexpr unsigned kRequests = 200;
      const auto start = [&](uint16_t tag) {
        queue.data(tag).store(0, uint64_t{q} << 32 | started);
        queue.start(tag, VIRTIO_BLK_T_OUT, q * 1024 + started++, 512, true);
      };
      for (uint16_t tag = 0; tag < queue.depth(); tag++) start(tag);
      queue.kick();
      while (done < kRequests) {
        const bool reaped = queue.reap([&](const DriverCompletion& completion) {
          done++;
          if (completion.status != VIRTIO_BLK_S_OK) wrong++;
          if (started < kRequests) start(completion.tag);
        });
        if (!reaped) {
          wrong++;
          return;
        }
        queue.kick();
      }
    });
  }
  for (std::thread& cpu : cpus) cpu.join();
  EXPECT_EQ(wrong.load(), 0u);
  for (unsigned q = 0; q < 4; q++) {
    std::vector<std::byte> sector(512);
    EXPECT_EQ(must(driver->read(q * 1024 + 199, sector)), VIRTIO_BLK_S_OK);
    uint64_t mark;
    std::memcpy(&mark, sector.data(), sizeof(mark));
    EXPECT_EQ(mark, uint64_t{q} << 32 | 199);
  }
}

CONTRACT(a_masked_vector_waits_until_it_is_unmasked, "ram:1M") {
  RawGuest guest = raw_guest(reach, InterruptMode::kMsix);
  const uint64_t before = guest.interrupt().count;
  guest.function().mask_msix_entry(1, true);
  start_flush(guest);
  EXPECT(wait_until([&] { return guest.function().msix_pending(1); }));
  EXPECT_EQ(guest.interrupt().count.load(), before);
  guest.function().mask_msix_entry(1, false);
  EXPECT(wait_until([&] { return guest.interrupt().count != before; }));
  EXPECT_EQ(guest.interrupt().count.load(), before + 1);
  EXPECT(!guest.function().msix_pending(1));
}

CONTRACT(the_line_falls_when_the_isr_is_read, "ram:1M") {
  RawGuest guest = raw_guest(reach, InterruptMode::kIntx);
  start_flush(guest);
  EXPECT(wait_until([&] { return guest.function().pin().level(); }));
  EXPECT_EQ(guest.function().config_read(0x06, 2) & 8, 8u);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 1u);
  EXPECT(!guest.function().pin().level());
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
}

CONTRACT(a_disabled_line_stays_low, "ram:1M") {
  RawGuest guest = raw_guest(reach, InterruptMode::kIntx);
  guest.function().config_write(0x04, 2, 0x407);
  start_flush(guest);
  EXPECT(wait_until([&] { return guest.ring().used_index() == 1; }));
  EXPECT(!guest.function().pin().level());
  guest.function().config_write(0x04, 2, 0x007);
  EXPECT(wait_until([&] { return guest.function().pin().level(); }));
}

CONTRACT(a_device_reset_is_over_when_the_write_returns, "ram:8M") {
  for (unsigned round = 0; round < 20; round++) {
    const auto driver = drive(reach, {.depth = 16});
    DriverQueue& queue = driver->queue(0);
    for (uint16_t tag = 0; tag < queue.depth(); tag++) queue.start(tag, VIRTIO_BLK_T_IN, tag * 8u, 4096, false);
    queue.kick();
    driver->function().out(VIRTIO_PCI_STATUS, 1, 0);
    const uint16_t used = queue.ring().used_index();
    EXPECT_EQ(driver->function().in(VIRTIO_PCI_STATUS, 1), 0u);
    EXPECT_EQ(driver->function().in(VIRTIO_PCI_QUEUE_PFN, 4), 0u);
    expect_keeps_data(*drive(reach, {.depth = 1}));  // what was left of the requests would come first
    EXPECT_EQ(queue.ring().used_index(), used);
  }
}

namespace {
// One file after the other: a reach is gone before the next one begins.
std::string growing_disk_path() {
  static const TempDir folder;
  return folder.path("growing.img");
}
std::string growing_disk() {
  const std::string path = growing_disk_path();
  std::ofstream(path, std::ios::binary).close();
  std::filesystem::resize_file(path, kMiB);
  return path;
}
}  // namespace

CONTRACT(a_grown_disk_interrupts_and_shows_its_size, growing_disk()) {
  const auto driver = drive(reach);
  EXPECT_EQ(driver->capacity(), 2048u);
  std::filesystem::resize_file(growing_disk_path(), 2 * kMiB);
  EXPECT_EQ(reach.resize(), 2 * kMiB);
  EXPECT(driver->config_change().event.wait(std::chrono::seconds(20)));
  EXPECT_EQ(driver->capacity(), 4096u);
}

CONTRACT(what_a_driver_does_wrong_is_counted_and_survived, "ram:1M") {
  const auto driver = drive(reach);
  driver->function().out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 77);
  driver->function().out(VIRTIO_PCI_HOST_FEATURES, 4, 1);
  driver->function().out(VIRTIO_PCI_QUEUE_PFN, 2, 1);
  expect_keeps_data(*driver);
  EXPECT_EQ(reach.guest_errors(GuestRule::kNotifyUnknownQueue), reach.hears_every_kick() ? 1u : 0u);
  EXPECT_EQ(reach.guest_errors(GuestRule::kRegisterReadOnly), 1u);
}

}  // namespace acrn
