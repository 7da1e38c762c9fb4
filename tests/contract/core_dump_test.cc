// What a core file of ours would not have in it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "acrn/base/address.h"
#include "dm/mem/guest_ram.h"
#include "dm/mem/shared_mapping.h"
#include "tests/support/must.h"

namespace acrn {
namespace {

using test::must;

// The flags of the mapping that an address is in, as /proc/self/smaps has them: "rd wr mr mw me dd".
std::string flags_at(const void* address) {
  std::ifstream mappings("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(mappings, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      inside = address_of(address) >= begin && address_of(address) < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line;
    }
  }
  return "";
}

TEST(guest_ram_is_in_no_core_dump) {
  const auto private_ram = must(create_guest_ram(Gpa{0}, uint64_t{3} << 20));
  const auto file_ram = must(create_guest_ram(Gpa{0}, uint64_t{3} << 20, RamKind::kFile));
  const auto shared_ram = must(create_shared_ram(Gpa{0}, 1 << 20));
  for (const MemoryRegion* region : {&private_ram, &file_ram, &shared_ram}) {
    EXPECT_CONTAINS(flags_at(region->host), " dd");
    EXPECT_CONTAINS(flags_at(region->host + region->size - 1), " dd");
  }
}

TEST(memory_of_a_peer_is_in_no_core_dump) {
  const UniqueFd file(::memfd_create("peer", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.fd(), 8192), 0);
  int error = 0;
  const auto mapping = SharedMapping::create(file.fd(), 0, 8192, error);
  EXPECT(mapping != nullptr);
  EXPECT_CONTAINS(flags_at(mapping->data()), " dd");
}

}  // namespace
}  // namespace acrn
