// Local APIC IDs of a command line to the bitmap of CPUs that ACRN takes.
#include "dm/hypervisor/acrn/affinity.h"

#include "tests/support/test.h"

namespace acrn {
namespace {

struct Lapic {
  uint8_t id;
  bool enabled = true;
};

// A MADT with these local APICs, and entries of other types between them.
std::vector<std::byte> madt_of(std::initializer_list<Lapic> lapics) {
  std::vector<std::byte> table(44);
  const auto add = [&](std::initializer_list<int> bytes) {
    for (const int byte : bytes) table.push_back(static_cast<std::byte>(byte));
  };
  add({1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0});  // an I/O APIC
  int processor = 0;
  for (const Lapic& lapic : lapics) {
    add({0, 8, processor++, lapic.id, lapic.enabled, 0, 0, 0});
    add({4, 6, 0xff, 5, 0, 1});  // an NMI
  }
  return table;
}

uint64_t bitmap_of(std::vector<unsigned> ids, const std::vector<std::byte>& madt) {
  const auto bitmap = affinity_bitmap(ids, madt);
  EXPECT(bitmap.ok());
  return bitmap.value();
}

}  // namespace

TEST(cpus_are_counted_as_the_table_lists_them) {
  const auto madt = madt_of({{0}, {2}, {4}, {6}});
  EXPECT_EQ(bitmap_of({0}, madt), 0b0001u);
  EXPECT_EQ(bitmap_of({2, 6}, madt), 0b1010u);
  EXPECT_EQ(bitmap_of({6, 4}, madt), 0b1100u);
}

TEST(disabled_ones_do_not_count) {
  const auto madt = madt_of({{0}, {1, false}, {2}});
  EXPECT_EQ(bitmap_of({2}, madt), 0b10u);
  const unsigned disabled[] = {1};
  const auto refused = affinity_bitmap(disabled, madt);
  EXPECT(!refused.ok());
  EXPECT_CONTAINS(refused.error().message, "no CPU has the local APIC ID 1; there are 0,2");
  EXPECT(refused.error().kind == ErrorKind::kUsage);
}

TEST(the_sixty_fifth_has_no_place_in_the_bitmap) {
  std::vector<std::byte> madt(44);
  for (int id = 0; id < 66; id++) {
    for (const int byte : {0, 8, id, id, 1, 0, 0, 0}) madt.push_back(static_cast<std::byte>(byte));
  }
  EXPECT_EQ(bitmap_of({63}, madt), uint64_t{1} << 63);
  const unsigned last[] = {64};
  EXPECT(!affinity_bitmap(last, madt).ok());
}

TEST(a_table_that_ends_early_or_makes_no_sense_has_what_was_before) {
  const unsigned second[] = {1};
  auto madt = madt_of({{0}, {1}});
  EXPECT_EQ(bitmap_of({1}, madt), 0b10u);
  for (size_t length = 0; length < madt.size(); length++) {
    const auto bitmap = affinity_bitmap(second, std::span(madt).first(length));
    EXPECT(!bitmap.ok() || bitmap.value() == 0b10u);
  }
  madt[45] = std::byte{0};  // an entry without a length
  EXPECT(!affinity_bitmap(second, madt).ok());
}

}  // namespace acrn
