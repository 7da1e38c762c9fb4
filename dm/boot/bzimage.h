// The header of a Linux kernel image: what it is, where it wants to be, where to enter it (Linux x86 boot protocol).
// Pure: bytes in, facts or a reason out.
#pragma once

#include <asm/bootparam.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "acrn/base/result.h"

namespace acrn {

struct BzImage {
  setup_header header{};          // as in the file; fields that an old kernel lacks are 0
  uint64_t payload_offset = 0;    // bytes from the file's start
  uint64_t payload_size = 0;      // bytes
  bool long_mode = false;         // has a 64-bit entry
  uint64_t memory_end = 0;        // the kernel needs RAM from 1 MiB to here to unpack itself
  uint64_t ramdisk_end_max = 0;   // a ramdisk ends at or below this address
  uint64_t command_line_max = 0;  // bytes without the NUL
};

inline constexpr size_t kBzImageHeaderBytes = 1024;  // enough of a file's start for parse_bzimage()

// `start`: the file's first bytes, kBzImageHeaderBytes of them or the whole file.
Result<BzImage> parse_bzimage(std::span<const std::byte> start, uint64_t file_size);

}  // namespace acrn
