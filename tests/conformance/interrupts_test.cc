// MSI-X, MSI and INTx: who gets an interrupt, when it waits, and what the ISR says (virtio 0.9.5 2.2.2,
// PCI 3.0 6.8; row Q16).
// COVERS(pci.capabilities, pci.intx, pci.msix-mask, reg.vectors, config.offset)
#include <array>
#include <thread>

#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// A table entry's interrupt, as the table names it.
GuestInterrupt& entry_interrupt(RawGuest& guest, unsigned entry) {
  const uint64_t data = guest.function().bar(1).address + 16 * entry + 8;
  return guest.machine().vector(static_cast<uint8_t>(guest.machine().read_mmio(data, 4)));
}

// One read of sector 0 by polling; whatever interrupt it makes has been delivered on return.
void complete_one(DeviceFixture& bench, RawGuest& guest) {
  std::vector<std::byte> data(kSector);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 0, data)->status, VIRTIO_BLK_S_OK);
  bench.settle();
}

// The same, without anybody reading the ISR.
void complete_one_quietly(DeviceFixture& bench, RawGuest& guest) {
  ready_request(guest, 0, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(0);
  const auto expected = static_cast<uint16_t>(guest.ring().used_index() + 1);
  guest.kick();
  EXPECT(wait_until([&] { return guest.ring().used_index() == expected; }));
  reap(guest, 1);  // does not wait, so reads no ISR
  bench.settle();
}

void change_config(DeviceFixture& bench) { must(bench.device().resize()); }

void set_msix_control(RawGuest& guest, uint32_t control) {
  guest.function().config_write(*guest.function().capability(PCI_CAP_ID_MSIX) + 2, 2, control);
}
constexpr uint32_t kEnable = 0x8000, kFunctionMask = 0x4000;

// COVERS(virtio 0.9.5 2.2.2.4): with MSI-X each cause has its vector, the ISR stays 0
TEST(with_msix_each_cause_has_its_vector_and_the_isr_stays_0) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GuestInterrupt& config = entry_interrupt(guest, 0);
  GuestInterrupt& queue = entry_interrupt(guest, 1);
  complete_one(bench, guest);
  EXPECT_EQ(queue.count.load(), 1u);
  EXPECT_EQ(config.count.load(), 0u);
  change_config(bench);
  EXPECT_EQ(queue.count.load(), 1u);
  EXPECT_EQ(config.count.load(), 1u);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
  EXPECT(!guest.function().pin().level());
}

TEST(queue_and_configuration_may_share_a_vector) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_MSI_CONFIG_VECTOR, 2, 1);
  change_config(bench);
  complete_one(bench, guest);
  EXPECT_EQ(entry_interrupt(guest, 1).count.load(), 2u);
}

// COVERS(Q16): vector out of range
TEST(a_vector_out_of_range_reads_back_as_none) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  uint64_t refused = 0;
  for (const unsigned offset : {VIRTIO_MSI_CONFIG_VECTOR, VIRTIO_MSI_QUEUE_VECTOR}) {
    for (const uint32_t vector : {2u, 3u, 128u, 0x7ffu, 0x8000u, 0xfffeu}) {
      guest.function().out(offset, 2, vector);
      EXPECT_EQ(guest.function().in(offset, 2), 0xffffu);
      EXPECT_EQ(bench.guest_errors(GuestRule::kVectorOutOfRange), ++refused);
    }
    guest.function().out(offset, 2, 1);
    EXPECT_EQ(guest.function().in(offset, 2), 1u);
  }
  expect_serves(guest);
}

TEST(without_a_vector_there_is_no_interrupt_and_no_isr) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().out(VIRTIO_MSI_QUEUE_VECTOR, 2, 0xffff);
  guest.function().out(VIRTIO_MSI_CONFIG_VECTOR, 2, 0xffff);
  EXPECT_EQ(bench.guest_errors(GuestRule::kVectorOutOfRange), 0u);
  complete_one(bench, guest);
  change_config(bench);
  EXPECT_EQ(entry_interrupt(guest, 0).count.load() + entry_interrupt(guest, 1).count.load(), 0u);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
  expect_serves(guest);
}

// COVERS(Q16): entry and function masked
TEST(a_masked_entry_is_pending_and_sent_once_when_it_is_unmasked) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GuestFunction& function = guest.function();
  GuestInterrupt& queue = entry_interrupt(guest, 1);
  function.mask_msix_entry(1, true);
  for (int i = 0; i < 3; i++) complete_one(bench, guest);
  EXPECT_EQ(queue.count.load(), 0u);
  EXPECT(function.msix_pending(1));
  EXPECT(!function.msix_pending(0));
  function.mask_msix_entry(1, false);
  EXPECT_EQ(queue.count.load(), 1u);
  EXPECT(!function.msix_pending(1));
  complete_one(bench, guest);
  EXPECT_EQ(queue.count.load(), 2u);
}

// COVERS(Q16): entry and function masked
TEST(a_masked_function_keeps_every_vector_pending) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GuestFunction& function = guest.function();
  set_msix_control(guest, kEnable | kFunctionMask);
  complete_one(bench, guest);
  change_config(bench);
  EXPECT(function.msix_pending(0) && function.msix_pending(1));
  EXPECT_EQ(entry_interrupt(guest, 0).count.load() + entry_interrupt(guest, 1).count.load(), 0u);
  function.mask_msix_entry(0, true);
  set_msix_control(guest, kEnable);
  EXPECT_EQ(entry_interrupt(guest, 1).count.load(), 1u);
  EXPECT_EQ(entry_interrupt(guest, 0).count.load(), 0u);
  EXPECT(function.msix_pending(0) && !function.msix_pending(1));
  function.mask_msix_entry(0, false);
  EXPECT_EQ(entry_interrupt(guest, 0).count.load(), 1u);
}

TEST(a_message_that_was_rewritten_while_masked_goes_to_its_new_place) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GuestFunction& function = guest.function();
  GuestInterrupt& before = entry_interrupt(guest, 1);
  function.mask_msix_entry(1, true);
  complete_one(bench, guest);
  bench.machine().write_mmio(function.bar(1).address + 16 + 8, 4, 0xf0);
  function.mask_msix_entry(1, false);
  EXPECT_EQ(before.count.load(), 0u);
  EXPECT_EQ(bench.machine().vector(0xf0).count.load(), 1u);
}

TEST(the_msix_page_takes_aligned_words_only_and_its_pending_bits_are_read_only) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  PciFunction& function = bench.function();
  const uint64_t entry1 = function.bar_read(1, 16, 8), data1 = function.bar_read(1, 24, 8);
  for (const unsigned size : {1u, 2u}) {
    for (uint64_t offset = 0; offset < 64; offset++) {
      EXPECT_EQ(function.bar_read(1, offset, size), ~uint64_t{0});
      function.bar_write(1, offset, size, 0xff);
    }
  }
  for (const uint64_t offset : {17ull, 18ull, 19ull, 22ull, 4093ull, 4096ull, ~0ull, ~0ull - 3}) {
    EXPECT_EQ(function.bar_read(1, offset, 4), ~uint64_t{0});
    function.bar_write(1, offset, 4, 0xff);
    EXPECT_EQ(function.bar_read(1, offset, 8), ~uint64_t{0});
    function.bar_write(1, offset, 8, 0xff);
  }
  function.bar_write(1, 0x800, 4, 0xff);
  EXPECT_EQ(function.bar_read(1, 0x800, 4), 0u);
  function.bar_write(1, 2 * 16, 4, 0xff);  // behind the table of two
  EXPECT_EQ(function.bar_read(1, 2 * 16, 4), 0u);
  EXPECT_EQ(function.bar_read(1, 16, 8), entry1);
  EXPECT_EQ(function.bar_read(1, 24, 8), data1);
  expect_serves(guest);
}

// COVERS(Q16): MSI-X toggled while running
TEST(toggling_msix_while_running_moves_the_configuration_and_the_interrupts) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  GuestInterrupt& queue = entry_interrupt(guest, 1);
  const auto capacity = static_cast<uint32_t>(4 * kMiB / kSector);
  EXPECT_EQ(function.in(VIRTIO_PCI_CONFIG_OFF_MSIX, 4), capacity);
  set_msix_control(guest, 0);
  EXPECT_EQ(function.in(VIRTIO_PCI_CONFIG_OFF_NO_MSIX, 4), capacity);
  complete_one_quietly(bench, guest);
  EXPECT_EQ(queue.count.load(), 0u);
  EXPECT(function.pin().level());
  set_msix_control(guest, kEnable);
  EXPECT(!function.pin().level());
  EXPECT_EQ(function.in(VIRTIO_PCI_CONFIG_OFF_MSIX, 4), capacity);
  EXPECT_EQ(function.in(VIRTIO_MSI_QUEUE_VECTOR, 2), 1u);
  complete_one_quietly(bench, guest);
  EXPECT_EQ(queue.count.load(), 1u);
}

TEST(what_is_pending_survives_msix_being_off) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  guest.function().mask_msix_entry(1, true);
  complete_one(bench, guest);
  set_msix_control(guest, 0);
  guest.function().mask_msix_entry(1, false);
  EXPECT_EQ(entry_interrupt(guest, 1).count.load(), 0u);
  set_msix_control(guest, kEnable);
  EXPECT_EQ(entry_interrupt(guest, 1).count.load(), 1u);
}

// COVERS(Q16): MSI-X toggled while running
TEST(toggling_and_masking_msix_from_another_cpu_loses_no_request) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  RawGuest other_cpu = guest;
  std::atomic<bool> stop{false};
  std::thread toggler([&] {
    while (!stop) {
      other_cpu.function().mask_msix_entry(1, true);
      bench.function().config_write(*other_cpu.function().capability(PCI_CAP_ID_MSIX) + 2, 2, kFunctionMask);
      other_cpu.function().mask_msix_entry(1, false);
      bench.function().config_write(*other_cpu.function().capability(PCI_CAP_ID_MSIX) + 2, 2, kEnable);
    }
  });
  const RawGuest::Piece pieces[] = {{guest.header(VIRTIO_BLK_T_FLUSH, 0), 16, false}, {guest.status(), 1, true}};
  bool all = true;
  for (int i = 0; i < 500 && all; i++) all = guest.run(pieces).has_value();
  stop = true;
  toggler.join();
  EXPECT(all);
  expect_serves(guest);
}

TEST(msi_sends_one_message_for_each_cause_and_keeps_the_isr) {
  DeviceFixture bench({.pci = {.single_msi = true}});
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kMsi);
  GuestInterrupt& vector = guest.interrupt();
  complete_one_quietly(bench, guest);
  EXPECT_EQ(vector.count.load(), 1u);
  change_config(bench);
  EXPECT_EQ(vector.count.load(), 2u);
  EXPECT(!guest.function().pin().level());
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 3u);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
  expect_serves(guest);
}

TEST(turning_msi_off_lets_the_line_speak) {
  DeviceFixture bench({.pci = {.single_msi = true}});
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kMsi);
  complete_one_quietly(bench, guest);
  EXPECT(!guest.function().pin().level());
  guest.function().config_write(*guest.function().capability(PCI_CAP_ID_MSI) + 2, 2, 0);
  EXPECT(guest.function().pin().level());
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 1u);
  EXPECT(!guest.function().pin().level());
}

TEST(intx_is_a_level_that_reading_the_isr_lowers) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  const GuestFunction& function = guest.function();
  const uint64_t before = function.pin().interrupt().count;
  complete_one_quietly(bench, guest);
  EXPECT(function.pin().level());
  EXPECT_EQ(function.config_read(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
  complete_one_quietly(bench, guest);
  change_config(bench);
  EXPECT(function.pin().level());
  EXPECT_EQ(function.pin().interrupt().count - before, 1u);
  EXPECT_EQ(function.in(VIRTIO_PCI_ISR, 1), 3u);
  EXPECT(!function.pin().level());
  EXPECT_EQ(function.config_read(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0u);
  EXPECT_EQ(function.in(VIRTIO_PCI_ISR, 1), 0u);
  complete_one_quietly(bench, guest);
  EXPECT_EQ(function.pin().interrupt().count - before, 2u);
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  EXPECT(!function.pin().level());
}

// COVERS(PCI 3.0 6.2.2): INTERRUPT_DISABLE keeps the line low
TEST(interrupt_disable_keeps_the_line_low_until_it_is_cleared) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  const GuestFunction& function = guest.function();
  const uint32_t command = function.config_read(PCI_COMMAND, 2);
  function.config_write(PCI_COMMAND, 2, command | PCI_COMMAND_INTX_DISABLE);
  complete_one_quietly(bench, guest);
  EXPECT(!function.pin().level());
  EXPECT_EQ(function.config_read(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
  function.config_write(PCI_COMMAND, 2, command);
  EXPECT(function.pin().level());
  EXPECT_EQ(function.in(VIRTIO_PCI_ISR, 1), 1u);
}

TEST(a_read_of_the_isr_with_its_neighbour_acknowledges_too) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  complete_one_quietly(bench, guest);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_STATUS, 2), 0x107u);
  EXPECT(!guest.function().pin().level());
}

// COVERS(virtio 0.9.5 2.2.2): a configuration interrupt only after DRIVER_OK
TEST(the_configuration_interrupt_waits_for_driver_ok) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  guest.function().out(VIRTIO_PCI_STATUS, 1, 3);
  change_config(bench);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
  guest.function().out(VIRTIO_PCI_STATUS, 1, 7);
  change_config(bench);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 3u);
}

}  // namespace
}  // namespace acrn
