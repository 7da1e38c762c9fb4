// The PCI function: identity, configuration space, BARs that move while requests run, RST# (PCI 3.0 chapter
// 6).
// COVERS(pci.identity, pci.bars, pci.decoding, pci.header, pci.capabilities)
#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint32_t kDecodeAndMaster = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

TEST(the_identity_is_that_of_a_legacy_virtio_disk) {
  DeviceFixture bench;
  const GuestFunction function = bench.guest().function();
  EXPECT_EQ(function.config_read(0x00, 2), 0x1af4u);
  EXPECT_EQ(function.config_read(0x02, 2), 0x1001u);
  EXPECT_EQ(function.config_read(PCI_REVISION_ID, 4), 0x01000000u);
  EXPECT_EQ(function.config_read(PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4u);
  EXPECT_EQ(function.config_read(PCI_SUBSYSTEM_ID, 2), 2u);
  EXPECT_EQ(function.config_read(PCI_INTERRUPT_PIN, 1), 1u);
  EXPECT_EQ(function.config_read(PCI_HEADER_TYPE, 1), 0u);
}

TEST(windows_guests_get_their_subsystem_vendor) {
  DeviceFixture bench({.pci = {.subsystem_vendor = 0x108e}});
  const GuestFunction function = bench.guest().function();
  EXPECT_EQ(function.config_read(PCI_SUBSYSTEM_VENDOR_ID, 2), 0x108eu);
}

TEST(the_bars_are_128_bytes_of_ports_and_a_page_for_msix) {
  DeviceFixture bench;
  const GuestFunction function = bench.guest().function();
  EXPECT(function.bar(0).kind == BarKind::kIo);
  EXPECT_EQ(function.bar(0).size, 128u);
  EXPECT(function.bar(1).kind == BarKind::kMemory32);
  EXPECT_EQ(function.bar(1).size, 4096u);
  for (unsigned bar = 2; bar < kPciBars; bar++) EXPECT(function.bar(bar).kind == BarKind::kAbsent);
}

TEST(a_single_msi_function_has_msi_and_no_msix) {
  DeviceFixture bench({.pci = {.single_msi = true}});
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kMsi);
  EXPECT(guest.function().capability(PCI_CAP_ID_MSI).has_value());
  EXPECT(!guest.function().capability(PCI_CAP_ID_MSIX).has_value());
  EXPECT(guest.function().bar(1).kind == BarKind::kAbsent);
  EXPECT_EQ(bench.function().bar_read(1, 0, 4), ~uint64_t{0});
  bench.function().bar_write(1, 0, 4, 1);
  expect_serves(guest);
}

// COVERS(Q17): every register, width and offset
TEST(configuration_space_reads_the_same_at_every_width_and_offset) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  PciFunction& function = bench.function();
  for (const unsigned size : {1u, 2u, 4u}) {
    for (unsigned offset = 0; offset < kPciConfigSize + 4; offset++) {
      row("offset " + std::to_string(offset) + " size " + std::to_string(size), [&] {
        const uint32_t mask = size == 4 ? ~0u : (1u << (8 * size)) - 1;
        uint32_t expected = 0;
        for (unsigned i = 0; i < size; i++) expected |= (function.config_read(offset + i, 1) & 0xff) << (8 * i);
        if (offset + size > kPciConfigSize) expected = mask;
        EXPECT_EQ(function.config_read(offset, size) & mask, expected);
      });
    }
  }
  EXPECT_EQ(function.config_read(0xffffffff, 4), 0xffffffffu);
}

TEST(only_writable_bits_of_configuration_space_change) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  const unsigned msix = *function.capability(PCI_CAP_ID_MSIX);
  std::array<uint32_t, kPciConfigSize / 4> before{};
  for (unsigned i = 0; i < before.size(); i++) before[i] = function.config_read(4 * i, 4);
  for (const uint32_t value : {0xffffffffu, 0u}) {
    for (unsigned i = 0; i < before.size(); i++) function.config_write(4 * i, 4, value);
    for (unsigned i = 0; i < before.size(); i++) {
      uint32_t writable = 0;
      if (4 * i == PCI_COMMAND) writable = 0x407;
      if (4 * i == PCI_BASE_ADDRESS_0) writable = ~127u;
      if (4 * i == PCI_BASE_ADDRESS_0 + 4) writable = ~4095u;
      if (4 * i == PCI_INTERRUPT_LINE) writable = 0xff;
      if (4 * i == msix) writable = 0xc0000000;
      row("offset " + std::to_string(4 * i), [&] {
        EXPECT_EQ(function.config_read(4 * i, 4) & ~writable, before[i] & ~writable);
        EXPECT_EQ(function.config_read(4 * i, 4) & writable, value & writable);
      });
    }
  }
  for (unsigned i = 0; i < before.size(); i++) function.config_write(4 * i, 4, before[i]);
  expect_serves(guest);
}

TEST(other_addresses_of_the_bus_are_empty) {
  DeviceFixture bench;
  for (const PciAddress other :
       {PciAddress{0, 2, 0}, PciAddress{0, 3, 1}, PciAddress{1, 3, 0}, PciAddress{255, 31, 7}}) {
    EXPECT_EQ(bench.machine().config_read(other, 0, 4), 0xffffffffu);
    bench.machine().config_write(other, PCI_COMMAND, 2, 7);
  }
}

TEST(the_registers_follow_their_bar_while_requests_run) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  GuestFunction& function = guest.function();
  bench.faults().hold();
  const auto ready = ready_request(guest, 9, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(9);
  guest.kick();
  bench.faults().wait_for_held(1);
  const auto old_port = static_cast<uint16_t>(function.bar(0).address);
  function.move_register_bar();
  EXPECT_EQ(bench.machine().in(static_cast<uint16_t>(old_port + VIRTIO_PCI_STATUS), 1), 0xffu);
  bench.machine().out(static_cast<uint16_t>(old_port + VIRTIO_PCI_STATUS), 1, 0);
  EXPECT_EQ(function.in(VIRTIO_PCI_STATUS, 1), 7u);
  bench.faults().release();
  EXPECT_EQ(reap(guest, 1)[0].len, kSector + 1);
  EXPECT(ready.data.holds_disk(0));
  expect_serves(guest);
}

TEST(without_decoding_nothing_answers_and_nothing_is_lost) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  const uint64_t table = function.bar(1).address;
  function.config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  EXPECT_EQ(function.in(VIRTIO_PCI_HOST_FEATURES, 4), 0xffffffffu);
  function.out(VIRTIO_PCI_STATUS, 1, 0);
  function.config_write(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
  EXPECT_EQ(bench.machine().read_mmio(table, 4) & 0xffffffff, 0xffffffffu);
  bench.machine().write_mmio(table, 4, 0);
  function.config_write(PCI_COMMAND, 2, kDecodeAndMaster);
  EXPECT_EQ(function.in(VIRTIO_PCI_STATUS, 1), 7u);
  expect_serves(guest);
}

// COVERS(PCI 3.0 6.2.5.1): sizing a BAR while the device runs does no harm
TEST(sizing_a_bar_while_the_device_runs_does_no_harm) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  for (unsigned bar = 0; bar < 2; bar++) {
    const unsigned offset = PCI_BASE_ADDRESS_0 + 4 * bar;
    const uint32_t before = function.config_read(offset, 4);
    function.config_write(offset, 4, 0xffffffff);
    EXPECT_EQ(function.config_read(offset, 4), bar == 0 ? 0xffffff81u : 0xfffff000u);
    function.config_write(offset, 4, before);
  }
  expect_serves(guest);
}

TEST(the_msix_table_may_move_and_keeps_its_messages) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  const GuestFunction& function = guest.function();
  const uint64_t elsewhere = bench.machine().allocate_memory(4096);
  const uint64_t message = bench.machine().read_mmio(function.bar(1).address + 16, 8);
  function.config_write(PCI_BASE_ADDRESS_0 + 4, 4, static_cast<uint32_t>(elsewhere));
  EXPECT_EQ(bench.machine().read_mmio(elsewhere + 16, 8), message);
  EXPECT_EQ(bench.machine().read_mmio(function.bar(1).address + 16, 8), ~uint64_t{0});
  expect_serves(guest);
}

TEST(rst_waits_for_what_is_in_flight_and_leaves_the_function_as_at_power_on) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  const auto ready = ready_request(guest, 3, VIRTIO_BLK_T_IN, 0, kSector);
  guest.offer(3);
  guest.kick();
  bench.faults().wait_for_held(1);
  expect_waits_for_release(bench.faults(), [&] { bench.machine().bus().reset(); });
  EXPECT_EQ(bench.machine().config_read(DeviceFixture::kAddress, PCI_COMMAND, 2), 0u);
  EXPECT_EQ(bench.machine().config_read(DeviceFixture::kAddress, PCI_BASE_ADDRESS_0, 4), 1u);
  EXPECT_EQ(bench.function().bar_read(0, VIRTIO_PCI_STATUS, 1), 0u);
  EXPECT_EQ(bench.function().bar_read(1, 12, 4), 1u);  // entry 0 is masked
  EXPECT(ready.data.canaries_intact());
  RawGuest again = bench.guest();
  expect_serves(again);
}

// Two CPUs write different registers of configuration space; what the function does afterwards is what both
// say.
TEST(configuration_writes_of_two_cpus_do_not_undo_each_other) {
  DeviceFixture bench;
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  expect_serves(guest);
  must(bench.device().resize());  // an interrupt that nobody acknowledges: the line follows INTX_DISABLE
  EXPECT(guest.function().pin().level());
  constexpr int kRounds = 20'000;
  std::atomic<int> begun{0}, ended{0};
  std::thread second_cpu([&] {
    for (int round = 1; round <= kRounds; round++) {
      while (begun.load() < round) std::this_thread::yield();
      bench.function().config_write(PCI_INTERRUPT_LINE, 1, 10);
      ended = round;
    }
  });
  int undone = 0;
  for (int round = 1; round <= kRounds; round++) {
    const bool disable = round % 2 == 1;
    begun = round;
    bench.function().config_write(PCI_COMMAND, 2, kDecodeAndMaster | (disable ? PCI_COMMAND_INTX_DISABLE : 0));
    while (ended.load() < round) std::this_thread::yield();
    if (guest.function().pin().level() == disable) undone++;
  }
  second_cpu.join();
  EXPECT_EQ(undone, 0);
}

}  // namespace
}  // namespace acrn
