// Guest RAM: huge pages of a memfd, or ordinary memory (docs/adr/0012). Unmapped when the last map that holds it is
// gone.
#pragma once

#include <cstdint>
#include <memory>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"

namespace acrn {

inline constexpr uint64_t kHugePage = uint64_t{2} << 20;

// What RAM is where there are no huge pages for it.
enum class RamKind {
  kPrivate,  // anonymous, in transparent huge pages
  kFile,     // a memfd, for a hypervisor that pins it or a process that shares it; with a warning
};

// `size` bytes of zeroed RAM at guest-physical `base`; in reserved huge pages if the host has so many to spare and
// `size` is a multiple of them.
Result<MemoryRegion> create_guest_ram(Gpa base, uint64_t size, RamKind kind = RamKind::kPrivate);

// RAM in small pages of a memfd, for other processes to map.
Result<MemoryRegion> create_shared_ram(Gpa base, uint64_t size);

}  // namespace acrn
