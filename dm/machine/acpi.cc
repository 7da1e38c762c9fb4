#include "dm/machine/acpi.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <string_view>
#include <tuple>

#include "acrn/base/check.h"
#include "acrn/platform/port_map.h"
#include "dm/boot/memory_layout.h"
#include "dm/machine/dsdt.hex"

namespace acrn {
namespace {

using Bytes = std::vector<std::byte>;

// Packed structures of plain integers, since both sides are x86.
static_assert(std::endian::native == std::endian::little);

// ACPI 5.2.6
struct __attribute__((packed)) TableHeader {
  char signature[4];
  uint32_t length;
  uint8_t revision;
  uint8_t checksum;
  char oem_id[6];
  char oem_table_id[8];
  uint32_t oem_revision;
  char creator_id[4];
  uint32_t creator_revision;
};
static_assert(sizeof(TableHeader) == 36);

// ACPI 5.2.3.2
struct __attribute__((packed)) GenericAddress {
  uint8_t space;  // 1: system I/O
  uint8_t bits;
  uint8_t offset;
  uint8_t access;
  uint64_t address;
};
static_assert(sizeof(GenericAddress) == 12);

// ACPI 5.2.5.3
struct __attribute__((packed)) Rsdp {
  char signature[8];
  uint8_t checksum;
  char oem_id[6];
  uint8_t revision;
  uint32_t rsdt;
  uint32_t length;
  uint64_t xsdt;
  uint8_t extended_checksum;
  uint8_t reserved[3];
};
static_assert(sizeof(Rsdp) == 36);

// ACPI 5.2.10
struct __attribute__((packed)) Facs {
  char signature[4];
  uint32_t length;
  uint8_t rest[56];
};
static_assert(sizeof(Facs) == 64);

// ACPI 5.2.9, revision 3
struct __attribute__((packed)) Fadt {
  TableHeader header;
  uint32_t facs;
  uint32_t dsdt;
  uint8_t reserved0;
  uint8_t preferred_profile;
  uint16_t sci_interrupt;
  uint32_t smi_command;  // 0: there is no legacy mode to leave
  uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
  uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
  uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length, gpe0_length, gpe1_length;
  uint8_t gpe1_base, cstate_control;
  uint16_t c2_latency, c3_latency, flush_size, flush_stride;
  uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
  uint16_t boot_architecture;
  uint8_t reserved1;
  uint32_t flags;
  GenericAddress reset_register;
  uint8_t reset_value;
  uint8_t reserved2[3];
  uint64_t x_facs, x_dsdt;
  GenericAddress x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
};
static_assert(sizeof(Fadt) == 244);

// ACPI 5.2.12
struct __attribute__((packed)) Madt {
  TableHeader header;
  uint32_t local_apic;
  uint32_t flags;  // 1: there is a PIC pair too
};
struct __attribute__((packed)) MadtLocalApic {
  uint8_t type = 0, length = 8, processor = 0, apic_id = 0;
  uint32_t flags = 1;  // enabled
};
struct __attribute__((packed)) MadtIoApic {
  uint8_t type = 1, length = 12, id = 0, reserved = 0;
  uint32_t address, gsi_base;
};
struct __attribute__((packed)) MadtOverride {
  uint8_t type = 2, length = 10, bus = 0, irq = 0;
  uint32_t gsi;
  uint16_t flags;
};
struct __attribute__((packed)) MadtLocalNmi {
  uint8_t type = 4, length = 6, processor = 0xff;  // every one
  uint16_t flags;
  uint8_t input = 1;
};
static_assert(sizeof(MadtLocalApic) == 8 && sizeof(MadtIoApic) == 12 && sizeof(MadtOverride) == 10 &&
              sizeof(MadtLocalNmi) == 6);

template <class T>
void append(Bytes& to, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);  // SAFETY: any object is bytes
  to.insert(to.end(), bytes, bytes + sizeof(T));
}

uint8_t checksum(std::span<const std::byte> bytes) {
  uint8_t sum = 0;
  for (const std::byte byte : bytes) sum = static_cast<uint8_t>(sum + std::to_integer<uint8_t>(byte));
  return static_cast<uint8_t>(-sum);
}

TableHeader header(const char* signature, uint8_t revision) {
  TableHeader header{};
  std::memcpy(header.signature, signature, 4);
  header.revision = revision;
  std::memcpy(header.oem_id, "ACRNDM", 6);
  std::memcpy(header.oem_table_id, "BOARD   ", 8);
  header.oem_revision = 1;
  std::memcpy(header.creator_id, "ACRN", 4);
  header.creator_revision = 1;
  return header;
}

// Fills in what depends on the whole table.
void seal(Bytes& table) {
  const auto length = static_cast<uint32_t>(table.size());
  std::memcpy(table.data() + offsetof(TableHeader, length), &length, sizeof(length));
  table[offsetof(TableHeader, checksum)] = std::byte{0};
  table[offsetof(TableHeader, checksum)] = std::byte{checksum(table)};
}

// The place where the compiler has put what is to be patched.
Bytes::iterator find_in(Bytes& aml, std::string_view encoded) {
  const auto found = std::search(aml.begin(), aml.end(), encoded.begin(), encoded.end(),
                                 [](std::byte byte, char wanted) { return byte == static_cast<std::byte>(wanted); });
  ACRN_CHECK(found != aml.end());
  return found;
}

Bytes dsdt(const AcpiBoard& board) {
  Bytes table;
  for (const unsigned char byte : dsdt_aml_code) table.push_back(std::byte{byte});
  // Name (COMS, 0xA5): NameOp, four characters, BytePrefix, the byte.
  find_in(table,
          "\x08"
          "COMS"
          "\x0a\xa5")[6] = std::byte{board.serial_ports};
  // Name (LINE, Package () { 5, 10, 11 }): PackageOp, its length, how many, and each with a BytePrefix.
  static_assert(std::tuple_size_v<PciLines> == 3);
  const auto lines = find_in(table,
                             "\x08"
                             "LINE"
                             "\x12\x08\x03\x0a\x05\x0a\x0a\x0a\x0b");
  for (int i = 0; i < 3; i++) lines[9 + 2 * i] = std::byte{board.pci_lines[static_cast<size_t>(i)]};
  seal(table);
  return table;
}

GenericAddress port(uint16_t address, uint8_t bits) {
  return {.space = 1, .bits = bits, .offset = 0, .access = 0, .address = address};
}

Bytes fadt(uint64_t facs_at, uint64_t dsdt_at) {
  constexpr uint8_t kCenturyRegister = 0x32;
  constexpr uint16_t kLegacyDevices = 1 << 0, kNoVga = 1 << 2;
  constexpr uint32_t kWbinvd = 1 << 0, kProcC1 = 1 << 2, kNoSleepButton = 1 << 5, kResetSupported = 1 << 10;
  Fadt fadt{};
  fadt.header = header("FACP", 3);
  fadt.facs = static_cast<uint32_t>(facs_at);
  fadt.dsdt = static_cast<uint32_t>(dsdt_at);
  fadt.sci_interrupt = kSciIrq;
  fadt.pm1a_event = kPm1aPorts.first;
  fadt.pm1a_control = kPm1aPorts.first + kPm1aControl;
  fadt.pm1_event_length = 4;
  fadt.pm1_control_length = 2;
  fadt.c2_latency = 0xffff;  // above 100 and 1000: no C2, no C3
  fadt.c3_latency = 0xffff;
  fadt.century = kCenturyRegister;
  fadt.boot_architecture = kLegacyDevices | kNoVga;
  fadt.flags = kWbinvd | kProcC1 | kNoSleepButton | kResetSupported;
  fadt.reset_register = port(kResetControlPort.first, 8);
  fadt.reset_value = kResetValue;
  fadt.x_facs = facs_at;
  fadt.x_dsdt = dsdt_at;
  fadt.x_pm1a_event = port(kPm1aPorts.first, 32);
  fadt.x_pm1a_control = port(kPm1aPorts.first + kPm1aControl, 16);
  Bytes table;
  append(table, fadt);
  seal(table);
  return table;
}

Bytes madt(const AcpiBoard& board) {
  constexpr uint16_t kEdgeHigh = 0x5, kLevelHigh = 0xd;
  Bytes table;
  append(table, Madt{header("APIC", 3), kLocalApicAddress, 1});
  for (unsigned cpu = 0; cpu < board.vcpus; cpu++) {
    append(table, MadtLocalApic{.processor = static_cast<uint8_t>(cpu), .apic_id = static_cast<uint8_t>(cpu)});
  }
  append(table, MadtIoApic{.id = static_cast<uint8_t>(board.vcpus), .address = kIoApicAddress, .gsi_base = 0});
  append(table, MadtOverride{.irq = 0, .gsi = 2, .flags = kEdgeHigh});  // the PIT, as on every PC
  append(table, MadtOverride{.irq = kSciIrq, .gsi = kSciIrq, .flags = kLevelHigh});
  // Above the ISA's sixteen, PCI's lines are level-triggered and active low without saying.
  for (const uint8_t line : board.pci_lines) {
    if (line < 16) append(table, MadtOverride{.irq = line, .gsi = line, .flags = kLevelHigh});
  }
  append(table, MadtLocalNmi{.flags = 0});
  seal(table);
  return table;
}

Bytes xsdt(std::span<const uint64_t> tables) {
  Bytes table;
  append(table, header("XSDT", 1));
  for (const uint64_t at : tables) append(table, at);
  seal(table);
  return table;
}

Bytes rsdp(uint64_t xsdt_at) {
  constexpr size_t kFirstPart = 20;  // what the first checksum covers
  Rsdp rsdp{};
  std::memcpy(rsdp.signature, "RSD PTR ", 8);
  std::memcpy(rsdp.oem_id, "ACRNDM", 6);
  rsdp.revision = 2;
  rsdp.length = sizeof(rsdp);
  rsdp.xsdt = xsdt_at;
  Bytes bytes;
  append(bytes, rsdp);
  bytes[offsetof(Rsdp, checksum)] = std::byte{checksum(std::span(bytes).first(kFirstPart))};
  bytes[offsetof(Rsdp, extended_checksum)] = std::byte{checksum(bytes)};
  return bytes;
}

}  // namespace

std::vector<std::byte> acpi_tables(const AcpiBoard& board, uint64_t base) {
  ACRN_CHECK(base % 64 == 0);
  Bytes all(64);  // the RSDP's place
  const auto place = [&](const Bytes& table) {
    all.resize((all.size() + 63) / 64 * 64);  // FACS wants 64, the others do not mind
    const uint64_t at = base + all.size();
    all.insert(all.end(), table.begin(), table.end());
    return at;
  };
  Facs facs{};
  std::memcpy(facs.signature, "FACS", 4);
  facs.length = sizeof(facs);
  Bytes facs_bytes;
  append(facs_bytes, facs);

  const uint64_t facs_at = place(facs_bytes);
  const uint64_t dsdt_at = place(dsdt(board));
  const uint64_t listed[] = {place(fadt(facs_at, dsdt_at)), place(madt(board))};
  const Bytes root = rsdp(place(xsdt(listed)));
  std::copy(root.begin(), root.end(), all.begin());
  return all;
}

}  // namespace acrn
