#include "dm/mem/guest_ram.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "acrn/base/address.h"
#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

// A file that others can cut short would end us by a signal.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

struct Mapping {
  void* address = MAP_FAILED;  // MAP_FAILED, with errno, if there is no such memory
  uint64_t size = 0;           // bytes, from the start that munmap() wants
  std::byte* ram = nullptr;
  UniqueFd file = {};  // if it maps one, from its beginning
};

Mapping map_file(uint64_t size, unsigned pages) {
  UniqueFd file(memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING | pages));
  if (!file || ::ftruncate(file.fd(), static_cast<off_t>(size)) != 0) return {};
  if (::fcntl(file.fd(), F_ADD_SEALS, kSeals) != 0) return {};
  void* const address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
  return {address, size, static_cast<std::byte*>(address), std::move(file)};
}

// Mapping reserves the pages, so a host that has too few of them says so here and not by a signal later.
Mapping map_huge_pages(uint64_t size) {
  if (size % kHugePage != 0) return {};
  return map_file(size, MFD_HUGETLB | MFD_HUGE_2MB);
}

// Aligned like huge pages, so that both the host and the hypervisor may use transparent ones.
Mapping map_anonymous(uint64_t size) {
  const uint64_t room = size + kHugePage;
  void* const address =
      ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return {};
  auto* ram = static_cast<std::byte*>(address);
  ram += -address_of(ram) % kHugePage;
  ::madvise(ram, size, MADV_HUGEPAGE);  // a host without them is only slower
  return {address, room, ram};
}

Result<MemoryRegion> region_of(Mapping mapping, Gpa base, uint64_t size) {
  if (mapping.address == MAP_FAILED) {
    return Error{ErrorKind::kInternal, concat("guest RAM of ", size, " bytes: ", errno_text(errno))};
  }
  ::madvise(mapping.address, mapping.size, MADV_DONTDUMP);  // what a guest keeps is in no core file
  const std::shared_ptr<const Mapping> owner(new Mapping(std::move(mapping)), [](const Mapping* unused) {
    ::munmap(unused->address, unused->size);
    delete unused;
  });
  return MemoryRegion{base, size, owner->ram, owner, owner->file.fd()};
}

}  // namespace

Result<MemoryRegion> create_guest_ram(Gpa base, uint64_t size, RamKind kind) {
  Mapping mapping = map_huge_pages(size);
  if (mapping.address == MAP_FAILED && kind == RamKind::kFile) {
    log(LogLevel::kWarning,
        concat("guest RAM of ", size >> 20, " MiB is in small pages, which is slow: the host has no ", size / kHugePage,
               " huge pages to spare; see sysctl vm.nr_hugepages"));
    mapping = map_file(size, 0);
  } else if (mapping.address == MAP_FAILED) {
    mapping = map_anonymous(size);
  }
  return region_of(std::move(mapping), base, size);
}

Result<MemoryRegion> create_shared_ram(Gpa base, uint64_t size) { return region_of(map_file(size, 0), base, size); }

}  // namespace acrn
