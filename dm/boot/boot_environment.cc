#include "dm/boot/boot_environment.h"

#include <array>
#include <vector>

#include "acrn/base/bytes.h"
#include "acrn/base/round.h"
#include "dm/boot/boot_image.h"
#include "dm/boot/memory_layout.h"

namespace acrn {
namespace {

constexpr uint16_t kCode = 0x10, kData = 0x18;  // __BOOT_CS and __BOOT_DS of the Linux x86 boot protocol

void write_page_tables(const MemoryMap& memory) {
  constexpr uint64_t kPresentWritable = 3, kLarge = 0x80, kEntries = 512, kDirectories = 4;
  std::vector<Le64> tables((2 + kDirectories) * kEntries);
  tables[0] = (kBootPageTables + kPageBytes) | kPresentWritable;
  for (uint64_t i = 0; i < kDirectories; i++) {
    tables[kEntries + i] = (kBootPageTables + (2 + i) * kPageBytes) | kPresentWritable;
  }
  for (uint64_t i = 0; i < kDirectories * kEntries; i++) tables[2 * kEntries + i] = i << 21 | kLarge | kPresentWritable;
  const size_t bytes = tables.size() * sizeof(tables[0]);
  ram_at(memory, kBootPageTables, bytes).copy_in(0, tables.data(), bytes);
}

}  // namespace

BootState write_boot_environment(const MemoryMap& memory, bool long_mode) {
  // Null, an unused entry, flat code, flat data.
  const std::array<Le64, 4> descriptors{0, 0, long_mode ? 0x00af'9b00'0000'ffff : 0x00cf'9b00'0000'ffff,
                                        0x00cf'9300'0000'ffff};
  ram_at(memory, kBootDescriptors, sizeof(descriptors)).copy_in(0, &descriptors, sizeof(descriptors));
  if (long_mode) write_page_tables(memory);
  return {.long_mode = long_mode,
          .stack = kBootStack,
          .page_tables = long_mode ? kBootPageTables : 0,
          .descriptors = kBootDescriptors,
          .descriptors_limit = sizeof(descriptors) - 1,
          .code_selector = kCode,
          .data_selector = kData};
}

}  // namespace acrn
