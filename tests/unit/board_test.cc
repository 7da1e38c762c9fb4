// The parts of the board that need no hypervisor: tables, buses, wires, and what firmware would set up.
#include <cstring>
#include <map>
#include <span>
#include <vector>

#include "dm/boot/memory_layout.h"
#include "dm/hypervisor/kvm/cpuid.h"
#include "dm/machine/acpi.h"
#include "dm/machine/io_bus.h"
#include "dm/machine/irq_lines.h"
#include "dm/machine/irq_routing.h"
#include "dm/machine/pci_setup.h"
#include "hw/pci/config_space.h"
#include "hw/pci/identity_function.h"
#include "tests/support/test.h"

namespace acrn {
namespace {

uint8_t sum(std::span<const std::byte> bytes) {
  uint8_t total = 0;
  for (const std::byte byte : bytes) total = static_cast<uint8_t>(total + std::to_integer<uint8_t>(byte));
  return total;
}

template <class T>
T at(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof(T)).data(), sizeof(T));
  return value;
}

// The tables by signature, found from the RSDP as a guest finds them.
std::map<std::string, std::span<const std::byte>> tables_of(std::span<const std::byte> area) {
  std::map<std::string, std::span<const std::byte>> found;
  const auto add = [&](uint64_t address) {
    const std::span<const std::byte> rest = area.subspan(address - kAcpiTables);
    const std::string signature(reinterpret_cast<const char*>(rest.data()), 4);
    found[signature] = rest.first(at<uint32_t>(rest, 4));
    return found[signature];
  };
  const auto root = add(at<uint64_t>(area, 24));
  for (size_t entry = 36; entry < root.size(); entry += 8) add(at<uint64_t>(root, entry));
  add(at<uint64_t>(found["FACP"], 140));
  return found;
}

// A function with a 128-byte I/O BAR that has a doorbell at 0x10, and a 4 KiB memory BAR.
class DoorbellFunction final : public PciFunction {
 public:
  DoorbellFunction() : space_({.vendor = 0x1af4, .device = 0x1001, .interrupt_pin = 1}) {
    space_.add_bar(0, {BarKind::kIo, 128});
    space_.add_bar(1, {BarKind::kMemory32, 4096});
    space_.seal();
  }
  uint32_t config_read(unsigned offset, unsigned size) override { return space_.read(offset, size); }
  void config_write(unsigned offset, unsigned size, uint32_t value) override { space_.write(offset, size, value); }
  BarShape bar_shape(unsigned bar) const override { return space_.bar_shape(bar); }
  std::optional<uint64_t> bar_address(unsigned bar) const override { return space_.bar_address(bar); }
  uint64_t bar_read(unsigned, uint64_t, unsigned) override { return 0; }
  void bar_write(unsigned, uint64_t, unsigned, uint64_t) override {}
  std::vector<BarDoorbell> doorbells() const override { return {{0, 0x10, 2, 0, 100}, {0, 0x10, 2, 1, 101}}; }
  void reset() override { space_.reset(); }

 private:
  ConfigSpace space_;
};

struct Doorbells final : DoorbellSink {
  bool add_doorbell(const Doorbell& doorbell) override {
    placed.push_back(doorbell);
    return true;
  }
  void remove_doorbell(const Doorbell& doorbell) override { std::erase(placed, doorbell); }
  std::vector<Doorbell> placed;
};

constexpr PciAddress kSlot9{0, 9, 0};
constexpr PciLines kLines{5, 10, 11};

struct RecordingHypervisor final : Hypervisor {
  HypervisorTraits traits() const override { return {}; }
  Result<void> map_ram(const MemoryRegion&) override { return {}; }
  Result<void> start(const BootState&, ExitHandler&) override { return {}; }
  void pause() override {}
  void resume() override {}
  Result<void> reset() override { return {}; }
  void stop() override {}
  void set_irq(unsigned gsi, bool asserted) override { changes.emplace_back(gsi, asserted); }
  void send(uint64_t, uint32_t) override {}
  bool add_doorbell(const Doorbell&) override { return false; }
  void remove_doorbell(const Doorbell&) override {}
  std::vector<std::pair<unsigned, bool>> changes;
};

}  // namespace

TEST(every_acpi_table_is_found_from_the_rsdp_and_sums_to_zero) {
  const auto area = acpi_tables({.vcpus = 3, .serial_ports = 0b101}, kAcpiTables);
  EXPECT(kAcpiTables + area.size() <= kKernelBase);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(area.data()), 8), "RSD PTR ");
  EXPECT_EQ(sum(std::span(area).first(20)), 0);
  EXPECT_EQ(sum(std::span(area).first(36)), 0);
  const auto tables = tables_of(area);
  for (const char* name : {"XSDT", "FACP", "APIC", "DSDT"}) {
    EXPECT(tables.contains(name));
    EXPECT_EQ(sum(tables.at(name)), 0);
  }
}

TEST(the_madt_lists_each_processor) {
  const auto area = acpi_tables({.vcpus = 3}, kAcpiTables);
  const auto madt = tables_of(area)["APIC"];
  std::vector<unsigned> ids;
  for (size_t entry = 44; entry < madt.size(); entry += at<uint8_t>(madt, entry + 1)) {
    if (at<uint8_t>(madt, entry) == 0) ids.push_back(at<uint8_t>(madt, entry + 3));
  }
  EXPECT(ids == (std::vector<unsigned>{0, 1, 2}));
}

TEST(the_serial_ports_of_the_command_line_are_patched_into_the_dsdt) {
  const auto with = acpi_tables({.serial_ports = 0b1010}, kAcpiTables);
  const auto without = acpi_tables({.serial_ports = 0}, kAcpiTables);
  unsigned different = 0;
  for (size_t i = 0; i < with.size(); i++) different += with[i] != without[i];
  EXPECT_EQ(different, 2u);  // the byte and the checksum
}

TEST(the_lines_of_the_hypervisor_are_patched_into_the_dsdt) {
  const auto high_area = acpi_tables({.pci_lines = {16, 17, 18}}, kAcpiTables);
  const auto low_area = acpi_tables({.pci_lines = {5, 10, 11}}, kAcpiTables);
  const auto high = tables_of(high_area)["DSDT"], low = tables_of(low_area)["DSDT"];
  EXPECT_EQ(high.size(), low.size());
  std::vector<std::pair<int, int>> different;
  for (size_t i = 36; i < low.size(); i++) {
    if (low[i] != high[i]) different.emplace_back(std::to_integer<int>(low[i]), std::to_integer<int>(high[i]));
  }
  EXPECT(different == (std::vector<std::pair<int, int>>{{5, 16}, {10, 17}, {11, 18}}));
}

TEST(the_madt_says_how_lines_below_sixteen_differ_from_isa) {
  const auto overrides = [](const PciLines& lines) {
    const auto area = acpi_tables({.pci_lines = lines}, kAcpiTables);
    const auto madt = tables_of(area)["APIC"];
    std::vector<unsigned> irqs;
    for (size_t entry = 44; entry < madt.size(); entry += at<uint8_t>(madt, entry + 1)) {
      if (at<uint8_t>(madt, entry) == 2) irqs.push_back(at<uint8_t>(madt, entry + 3));
    }
    return irqs;
  };
  EXPECT(overrides({5, 10, 11}) == (std::vector<unsigned>{0, 9, 5, 10, 11}));
  EXPECT(overrides({16, 17, 18}) == (std::vector<unsigned>{0, 9}));
}

TEST(a_doorbell_that_was_refused_is_removed_like_the_others) {
  struct : DoorbellSink {
    bool add_doorbell(const Doorbell& doorbell) override {
      asked.push_back(doorbell);
      return doorbell.data != 1;
    }
    void remove_doorbell(const Doorbell& doorbell) override { std::erase(asked, doorbell); }
    std::vector<Doorbell> asked;
  } refusing;
  PciBus bus;
  bus.connect(&refusing);
  DoorbellFunction function;
  bus.attach(kSlot9, function);
  EXPECT(set_up_pci(bus, kLines).ok());
  EXPECT_EQ(refusing.asked.size(), 2u);
  bus.config_write(kSlot9, 0x04, 2, 0);
  EXPECT(refusing.asked.empty());
}

TEST(firmware_places_bars_turns_decoding_on_and_writes_the_line_down) {
  PciBus bus;
  DoorbellFunction first, second;
  bus.attach(kSlot9, first);
  bus.attach({0, 10, 0}, second);
  EXPECT(set_up_pci(bus, kLines).ok());
  EXPECT_EQ(first.bar_address(0).value(), 0x2000u);
  EXPECT_EQ(second.bar_address(0).value(), 0x2080u);
  EXPECT_EQ(first.bar_address(1).value(), 0x8000'0000u);
  EXPECT_EQ(second.bar_address(1).value(), 0x8000'1000u);
  EXPECT_EQ(bus.config_read(kSlot9, 0x3c, 1), pci_line(kLines, kSlot9, 1));
  EXPECT(pci_line(kLines, kSlot9, 1) != pci_line(kLines, {0, 10, 0}, 1));
}

TEST(more_bars_than_the_window_holds_are_refused) {
  PciBus bus;
  std::vector<std::unique_ptr<DoorbellFunction>> functions;
  for (unsigned i = 0; i < 512; i++) {  // 512 of 128 bytes are 64 KiB, the window has 56
    functions.push_back(std::make_unique<DoorbellFunction>());
    bus.attach({static_cast<uint8_t>(i / 256), static_cast<uint8_t>(i / 8 % 32), static_cast<uint8_t>(i % 8)},
               *functions.back());
  }
  EXPECT(!set_up_pci(bus, kLines).ok());
}

TEST(doorbells_follow_the_bar_and_go_with_its_decoding) {
  PciBus bus;
  Doorbells doorbells;
  DoorbellFunction function;
  bus.connect(&doorbells);
  bus.attach(kSlot9, function);
  EXPECT(doorbells.placed.empty());
  bus.config_write(kSlot9, 0x10, 4, 0x2000);
  bus.config_write(kSlot9, 0x04, 2, 1);
  EXPECT(doorbells.placed == (std::vector<Doorbell>{{0x2010, 2, 0, 100}, {0x2010, 2, 1, 101}}));
  bus.config_write(kSlot9, 0x10, 4, 0x3000);
  EXPECT(doorbells.placed == (std::vector<Doorbell>{{0x3010, 2, 0, 100}, {0x3010, 2, 1, 101}}));
  bus.config_write(kSlot9, 0x10, 4, 0xffff'ff80);  // no such port
  EXPECT(doorbells.placed.empty());
  bus.config_write(kSlot9, 0x10, 4, 0x3000);
  bus.config_write(kSlot9, 0x04, 2, 0);
  EXPECT(doorbells.placed.empty());
  bus.config_write(kSlot9, 0x04, 2, 1);
  EXPECT_EQ(doorbells.placed.size(), 2u);
  bus.reset();
  EXPECT(doorbells.placed.empty());
}

TEST(the_first_function_of_a_slot_with_more_says_so) {
  PciBus bus;
  IdentityFunction first(kHostBridgeIdentity), other(kLpcIdentity), alone(kLpcIdentity);
  bus.attach({0, 1, 0}, first);
  bus.attach({0, 2, 0}, alone);
  EXPECT_EQ(bus.config_read({0, 1, 0}, 0x0e, 1), 0u);
  bus.attach({0, 1, 3}, other);
  EXPECT_EQ(bus.config_read({0, 1, 0}, 0x0e, 1), 0x80u);
  EXPECT_EQ(bus.config_read({0, 1, 0}, 0x0c, 4), 0x80'0000u);
  EXPECT_EQ(bus.config_read({0, 1, 3}, 0x0e, 1), 0u);
  EXPECT_EQ(bus.config_read({0, 2, 0}, 0x0e, 1), 0u);
}

TEST(a_shared_interrupt_input_stays_asserted_while_one_wire_is) {
  RecordingHypervisor hypervisor;
  IrqLines lines(hypervisor);
  IrqPin& one = lines.wire(5);
  IrqPin& two = lines.wire(5);
  IrqPin& other = lines.wire(10);
  one.set_level(true);
  two.set_level(true);
  one.set_level(true);
  one.set_level(false);
  other.set_level(true);
  two.set_level(false);
  EXPECT(hypervisor.changes == (std::vector<std::pair<unsigned, bool>>{{5, true}, {10, true}, {5, false}}));
}

TEST(an_unclaimed_port_is_nobodys) {
  struct Device final : PortDevice {
    uint32_t read(uint16_t offset, unsigned) override { return offset; }
    void write(uint16_t offset, unsigned, uint32_t) override { written = offset; }
    void reset() override { written = -1; }
    int written = -1;
  } device;
  IoBus bus;
  bus.attach(0xfff8, 8, device);
  EXPECT(!bus.read(0xfff7, 4).has_value());
  EXPECT_EQ(bus.read(0xffff, 4).value(), 7u);
  EXPECT(!bus.write(0, 1, 1));
  EXPECT(bus.write(0xfffa, 1, 1));
  EXPECT_EQ(device.written, 2);
  bus.reset();
  EXPECT_EQ(device.written, -1);
}

TEST(each_processor_knows_its_place_among_the_others) {
  const auto leaf = [](uint32_t function, uint32_t index) {
    kvm_cpuid_entry2 entry{};
    entry.function = function;
    entry.index = index;
    return entry;
  };
  const auto guest = guest_cpuid({leaf(1, 0), leaf(0xb, 0), leaf(0x1f, 0), leaf(0x8000'001e, 0)}, 2, 3);
  const auto find = [&](uint32_t function, uint32_t index) {
    for (const auto& entry : guest) {
      if (entry.function == function && entry.index == index) return entry;
    }
    EXPECT(false);
    return kvm_cpuid_entry2{};
  };
  EXPECT_EQ(find(1, 0).ebx >> 24, 2u);
  EXPECT_EQ(find(1, 0).ebx >> 16 & 0xff, 3u);
  EXPECT(find(1, 0).ecx >> 31 == 1);  // there is a hypervisor
  EXPECT_EQ(find(0xb, 0).ebx, 1u);
  EXPECT_EQ(find(0xb, 1).eax, 2u);  // bits of the ID below the package: three cores
  EXPECT_EQ(find(0xb, 1).ebx, 3u);
  EXPECT_EQ(find(0xb, 1).edx, 2u);
  EXPECT_EQ(find(0x8000'001e, 0).eax, 2u);
  EXPECT_EQ(guest.size(), 5u);  // 0x1f is gone, 0xb has three
}

}  // namespace acrn
