#include "dm/mem/guest_ram.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

// MAP_FAILED, with errno, if there is no such memory.
void* map_memfd(uint64_t size, unsigned flags) {
  const UniqueFd fd(memfd_create("guest-ram", MFD_CLOEXEC | flags));
  if (!fd || ::ftruncate(fd.fd(), static_cast<off_t>(size)) != 0) return MAP_FAILED;
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.fd(), 0);
}

}  // namespace

Result<MemoryRegion> create_guest_ram(Gpa base, uint64_t size) {
  // Mapping reserves huge pages, so a host that has too few of them says so here and not by a signal later.
  void* address = MAP_FAILED;
  if (size % kHugePage == 0) address = map_memfd(size, MFD_HUGETLB | MFD_HUGE_2MB);
  if (address == MAP_FAILED) {
    address = map_memfd(size, 0);
    if (address == MAP_FAILED) {
      return Error{ErrorKind::kInternal, concat("guest RAM of ", size, " bytes: ", errno_text(errno))};
    }
    ::madvise(address, size, MADV_HUGEPAGE);  // where the host lets shared memory have them
  }
  std::shared_ptr<const void> owner(address, [size](const void* mapped) { ::munmap(const_cast<void*>(mapped), size); });
  return MemoryRegion{base, size, static_cast<std::byte*>(address), std::move(owner)};
}

}  // namespace acrn
