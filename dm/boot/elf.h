// An ELF file as a kernel: what of it goes where, and which boot protocols it knows. Every field may lie: what comes
// out is inside the file and does not wrap. Where there is RAM is for others to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "acrn/base/result.h"

namespace acrn {

struct ElfSegment {
  uint64_t offset = 0, file_size = 0;         // bytes of the file; the rest of `size` is zeroes
  uint64_t address = 0, virtual_address = 0;  // guest-physical; as the kernel sees it once it has paging
  uint64_t size = 0;                          // bytes, not 0
};

struct ElfKernel {
  std::vector<ElfSegment> segments;   // at least one
  uint64_t entry = 0;                 // guest-physical, as the header says
  std::optional<uint64_t> pvh_entry;  // as a note of Xen's type 18 says
};

// The first bytes of an ELF file.
inline constexpr size_t kElfMagicBytes = 4;
bool is_elf(std::span<const std::byte> start);

// Reads so many bytes from an offset inside the file.
using ReadFile = std::function<Result<void>(uint64_t offset, std::span<std::byte> to)>;

// For x86, 32-bit or 64-bit, little-endian. Errors: kNoInput, the reason alone; those of `read` as they are.
Result<ElfKernel> parse_elf(const ReadFile& read, uint64_t file_size);

// Multiboot 1, a header in the first 8 KiB.
inline constexpr size_t kMultibootSearchBytes = 8192;
// Its flags; none: there is no such header.
std::optional<uint32_t> find_multiboot(std::span<const std::byte> start);

}  // namespace acrn
