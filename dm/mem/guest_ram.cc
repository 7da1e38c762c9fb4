#include "dm/mem/guest_ram.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {

Result<MemoryRegion> create_guest_ram(Gpa base, uint64_t size) {
  const auto failed = [&](const char* call) {
    return Error{ErrorKind::kInternal, concat("guest RAM of ", size, " bytes: ", call, ": ", errno_text(errno))};
  };
  UniqueFd memory(memfd_create("guest-ram", MFD_CLOEXEC));
  if (!memory) return failed("memfd_create");
  if (ftruncate(memory.fd(), static_cast<off_t>(size)) != 0) return failed("ftruncate");
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd(), 0);
  if (mapped == MAP_FAILED) return failed("mmap");
  std::shared_ptr<const void> owner(mapped, [size](const void* p) { munmap(const_cast<void*>(p), size); });
  return MemoryRegion{base, size, static_cast<std::byte*>(mapped), std::move(owner)};
}

}  // namespace acrn
