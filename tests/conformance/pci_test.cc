// The PCI function: identity, configuration space, BARs that move while requests run, RST# (PCI 3.0 chapter
#include <thread>
// 6).
#include <thread>
#include "tests/support/bench_disk.h"
#include <thread>

#include <thread>
namespace acrn {
#include <thread>
namespace {
#include <thread>

#include <thread>
using namespace test;  // NOLINT(google-build-using-namespace)
#include <thread>

#include <thread>
constexpr uint32_t kDecodeAndMaster = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
#include <thread>

#include <thread>
TEST(the_identity_is_that_of_a_legacy_virtio_disk) {
#include <thread>
  BenchDisk bench;
#include <thread>
  const GuestFunction function = bench.guest().function();
#include <thread>
  EXPECT_EQ(function.config_read(0x00, 2), 0x1af4u);
#include <thread>
  EXPECT_EQ(function.config_read(0x02, 2), 0x1001u);
#include <thread>
  EXPECT_EQ(function.config_read(PCI_REVISION_ID, 4), 0x01000000u);
#include <thread>
  EXPECT_EQ(function.config_read(PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4u);
#include <thread>
  EXPECT_EQ(function.config_read(PCI_SUBSYSTEM_ID, 2), 2u);
#include <thread>
  EXPECT_EQ(function.config_read(PCI_INTERRUPT_PIN, 1), 1u);
#include <thread>
  EXPECT_EQ(function.config_read(PCI_HEADER_TYPE, 1), 0u);
#include <thread>
}
#include <thread>

#include <thread>
TEST(windows_guests_get_their_subsystem_vendor) {
#include <thread>
  BenchDisk bench({.pci = {.subsystem_vendor = 0x108e}});
#include <thread>
  const GuestFunction function = bench.guest().function();
#include <thread>
  EXPECT_EQ(function.config_read(PCI_SUBSYSTEM_VENDOR_ID, 2), 0x108eu);
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_bars_are_128_bytes_of_ports_and_a_page_for_msix) {
#include <thread>
  BenchDisk bench;
#include <thread>
  const GuestFunction function = bench.guest().function();
#include <thread>
  EXPECT(function.bar(0).kind == BarKind::kIo);
#include <thread>
  EXPECT_EQ(function.bar(0).size, 128u);
#include <thread>
  EXPECT(function.bar(1).kind == BarKind::kMemory32);
#include <thread>
  EXPECT_EQ(function.bar(1).size, 4096u);
#include <thread>
  for (unsigned bar = 2; bar < kPciBars; bar++) EXPECT(function.bar(bar).kind == BarKind::kAbsent);
#include <thread>
}
#include <thread>

#include <thread>
TEST(a_single_msi_function_has_msi_and_no_msix) {
#include <thread>
  BenchDisk bench({.pci = {.single_msi = true}});
#include <thread>
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kMsi);
#include <thread>
  EXPECT(guest.function().capability(PCI_CAP_ID_MSI).has_value());
#include <thread>
  EXPECT(!guest.function().capability(PCI_CAP_ID_MSIX).has_value());
#include <thread>
  EXPECT(guest.function().bar(1).kind == BarKind::kAbsent);
#include <thread>
  EXPECT_EQ(bench.function().bar_read(1, 0, 4), ~uint64_t{0});
#include <thread>
  bench.function().bar_write(1, 0, 4, 1);
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
TEST(configuration_space_reads_the_same_at_every_width_and_offset) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  PciFunction& function = bench.function();
#include <thread>
  for (const unsigned size : {1u, 2u, 4u}) {
#include <thread>
    for (unsigned offset = 0; offset < kPciConfigSize + 4; offset++) {
#include <thread>
      row("offset " + std::to_string(offset) + " size " + std::to_string(size), [&] {
#include <thread>
        const uint32_t mask = size == 4 ? ~0u : (1u << (8 * size)) - 1;
#include <thread>
        uint32_t expected = 0;
#include <thread>
        for (unsigned i = 0; i < size; i++)
#include <thread>
          expected |= (function.config_read(offset + i, 1) & 0xff) << (8 * i);
#include <thread>
        if (offset + size > kPciConfigSize) expected = mask;
#include <thread>
        EXPECT_EQ(function.config_read(offset, size) & mask, expected);
#include <thread>
      });
#include <thread>
    }
#include <thread>
  }
#include <thread>
  EXPECT_EQ(function.config_read(0xffffffff, 4), 0xffffffffu);
#include <thread>
}
#include <thread>

#include <thread>
TEST(only_writable_bits_of_configuration_space_change) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  const GuestFunction& function = guest.function();
#include <thread>
  const unsigned msix = *function.capability(PCI_CAP_ID_MSIX);
#include <thread>
  std::array<uint32_t, kPciConfigSize / 4> before{};
#include <thread>
  for (unsigned i = 0; i < before.size(); i++) before[i] = function.config_read(4 * i, 4);
#include <thread>
  for (const uint32_t value : {0xffffffffu, 0u}) {
#include <thread>
    for (unsigned i = 0; i < before.size(); i++) function.config_write(4 * i, 4, value);
#include <thread>
    for (unsigned i = 0; i < before.size(); i++) {
#include <thread>
      uint32_t writable = 0;
#include <thread>
      if (4 * i == PCI_COMMAND) writable = 0x407;
#include <thread>
      if (4 * i == PCI_BASE_ADDRESS_0) writable = ~127u;
#include <thread>
      if (4 * i == PCI_BASE_ADDRESS_0 + 4) writable = ~4095u;
#include <thread>
      if (4 * i == PCI_INTERRUPT_LINE) writable = 0xff;
#include <thread>
      if (4 * i == msix) writable = 0xc0000000;
#include <thread>
      row("offset " + std::to_string(4 * i), [&] {
#include <thread>
        EXPECT_EQ(function.config_read(4 * i, 4) & ~writable, before[i] & ~writable);
#include <thread>
        EXPECT_EQ(function.config_read(4 * i, 4) & writable, value & writable);
#include <thread>
      });
#include <thread>
    }
#include <thread>
  }
#include <thread>
  for (unsigned i = 0; i < before.size(); i++) function.config_write(4 * i, 4, before[i]);
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
TEST(other_addresses_of_the_bus_are_empty) {
#include <thread>
  BenchDisk bench;
#include <thread>
  for (const PciAddress other :
#include <thread>
       {PciAddress{0, 2, 0}, PciAddress{0, 3, 1}, PciAddress{1, 3, 0}, PciAddress{255, 31, 7}}) {
#include <thread>
    EXPECT_EQ(bench.machine().config_read(other, 0, 4), 0xffffffffu);
#include <thread>
    bench.machine().config_write(other, PCI_COMMAND, 2, 7);
#include <thread>
  }
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_registers_follow_their_bar_while_requests_run) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  GuestFunction& function = guest.function();
#include <thread>
  bench.faults().hold();
#include <thread>
  const auto ready = ready_request(guest, 9, VIRTIO_BLK_T_IN, 0, kSector);
#include <thread>
  guest.offer(9);
#include <thread>
  guest.kick();
#include <thread>
  bench.faults().wait_for_held(1);
#include <thread>
  const auto old_port = static_cast<uint16_t>(function.bar(0).address);
#include <thread>
  function.move_register_bar();
#include <thread>
  EXPECT_EQ(bench.machine().in(static_cast<uint16_t>(old_port + VIRTIO_PCI_STATUS), 1), 0xffu);
#include <thread>
  bench.machine().out(static_cast<uint16_t>(old_port + VIRTIO_PCI_STATUS), 1, 0);
#include <thread>
  EXPECT_EQ(function.in(VIRTIO_PCI_STATUS, 1), 7u);
#include <thread>
  bench.faults().release();
#include <thread>
  EXPECT_EQ(reap(guest, 1)[0].len, kSector + 1);
#include <thread>
  EXPECT(ready.data.holds_disk(0));
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
TEST(without_decoding_nothing_answers_and_nothing_is_lost) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  const GuestFunction& function = guest.function();
#include <thread>
  const uint64_t table = function.bar(1).address;
#include <thread>
  function.config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
#include <thread>
  EXPECT_EQ(function.in(VIRTIO_PCI_HOST_FEATURES, 4), 0xffffffffu);
#include <thread>
  function.out(VIRTIO_PCI_STATUS, 1, 0);
#include <thread>
  function.config_write(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
#include <thread>
  EXPECT_EQ(bench.machine().read_mmio(table, 4) & 0xffffffff, 0xffffffffu);
#include <thread>
  bench.machine().write_mmio(table, 4, 0);
#include <thread>
  function.config_write(PCI_COMMAND, 2, kDecodeAndMaster);
#include <thread>
  EXPECT_EQ(function.in(VIRTIO_PCI_STATUS, 1), 7u);
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
TEST(sizing_a_bar_while_the_device_runs_does_no_harm) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  const GuestFunction& function = guest.function();
#include <thread>
  for (unsigned bar = 0; bar < 2; bar++) {
#include <thread>
    const unsigned offset = PCI_BASE_ADDRESS_0 + 4 * bar;
#include <thread>
    const uint32_t before = function.config_read(offset, 4);
#include <thread>
    function.config_write(offset, 4, 0xffffffff);
#include <thread>
    EXPECT_EQ(function.config_read(offset, 4), bar == 0 ? 0xffffff81u : 0xfffff000u);
#include <thread>
    function.config_write(offset, 4, before);
#include <thread>
  }
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
TEST(the_msix_table_may_move_and_keeps_its_messages) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  const GuestFunction& function = guest.function();
#include <thread>
  const uint64_t elsewhere = bench.machine().allocate_memory(4096);
#include <thread>
  const uint64_t message = bench.machine().read_mmio(function.bar(1).address + 16, 8);
#include <thread>
  function.config_write(PCI_BASE_ADDRESS_0 + 4, 4, static_cast<uint32_t>(elsewhere));
#include <thread>
  EXPECT_EQ(bench.machine().read_mmio(elsewhere + 16, 8), message);
#include <thread>
  EXPECT_EQ(bench.machine().read_mmio(function.bar(1).address + 16, 8), ~uint64_t{0});
#include <thread>
  expect_serves(guest);
#include <thread>
}
#include <thread>

#include <thread>
TEST(rst_waits_for_what_is_in_flight_and_leaves_the_function_as_at_power_on) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest();
#include <thread>
  bench.faults().hold();
#include <thread>
  const auto ready = ready_request(guest, 3, VIRTIO_BLK_T_IN, 0, kSector);
#include <thread>
  guest.offer(3);
#include <thread>
  guest.kick();
#include <thread>
  bench.faults().wait_for_held(1);
#include <thread>
  expect_waits_for_release(bench.faults(), [&] { bench.machine().bus().reset(); });
#include <thread>
  EXPECT_EQ(bench.machine().config_read(BenchDisk::kAddress, PCI_COMMAND, 2), 0u);
#include <thread>
  EXPECT_EQ(bench.machine().config_read(BenchDisk::kAddress, PCI_BASE_ADDRESS_0, 4), 1u);
#include <thread>
  EXPECT_EQ(bench.function().bar_read(0, VIRTIO_PCI_STATUS, 1), 0u);
#include <thread>
  EXPECT_EQ(bench.function().bar_read(1, 12, 4), 1u);  // entry 0 is masked
#include <thread>
  EXPECT(ready.data.canaries_intact());
#include <thread>
  RawGuest again = bench.guest();
#include <thread>
  expect_serves(again);
#include <thread>
}
#include <thread>

#include <thread>
// Two CPUs write different registers of configuration space; what the function does afterwards is what both
#include <thread>
// say.
#include <thread>
TEST(configuration_writes_of_two_cpus_do_not_undo_each_other) {
#include <thread>
  BenchDisk bench;
#include <thread>
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
#include <thread>
  expect_serves(guest);
#include <thread>
  MUST(bench.device().resize());  // an interrupt that nobody acknowledges: the line follows INTX_DISABLE
#include <thread>
  EXPECT(guest.function().pin().level());
#include <thread>
  constexpr int kRounds = 20'000;
#include <thread>
  std::atomic<int> begun{0}, ended{0};
#include <thread>
  std::thread second_cpu([&] {
#include <thread>
    for (int round = 1; round <= kRounds; round++) {
#include <thread>
      while (begun.load() < round) std::this_thread::yield();
#include <thread>
      bench.function().config_write(PCI_INTERRUPT_LINE, 1, 10);
#include <thread>
      ended = round;
#include <thread>
    }
#include <thread>
  });
#include <thread>
  int undone = 0;
#include <thread>
  for (int round = 1; round <= kRounds; round++) {
#include <thread>
    const bool disable = round % 2 == 1;
#include <thread>
    begun = round;
#include <thread>
    bench.function().config_write(PCI_COMMAND, 2,
#include <thread>
                                  kDecodeAndMaster | (disable ? PCI_COMMAND_INTX_DISABLE : 0));
#include <thread>
    while (ended.load() < round) std::this_thread::yield();
#include <thread>
    if (guest.function().pin().level() == disable) undone++;
#include <thread>
  }
#include <thread>
  second_cpu.join();
#include <thread>
  EXPECT_EQ(undone, 0);
#include <thread>
}
#include <thread>

#include <thread>
}  // namespace
#include <thread>
}  // namespace acrn
#include <thread>
