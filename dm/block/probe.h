// Opens the path of a disk and finds out what it is: nothing is created, truncated, locked or written, and
// nothing that is not a disk can make it wait. Called by open.cc, before the program's threads run.
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

struct DiskProbe {
  UniqueFd fd;
  bool block_device = false;
  uint64_t size = 0;                 // bytes, a multiple of 512 and not 0
  uint32_t physical_block = 512;     // bytes, power of two
  uint32_t direct_offset_align = 0;  // what O_DIRECT needs, bytes; 0: the file has no O_DIRECT
  uint32_t direct_memory_align = 0;
  uint32_t discard_granularity = 512;
  std::string identity;              // "file:<real path>" or "block:<major>:<minor>"
};

struct ProbeMode {
  bool write = false;   // open for writing, too
  bool direct = false;  // open with O_DIRECT
};

// The error's message starts with "virtio-blk <path>: ".
Result<DiskProbe> probe_disk(const std::string& path, const ProbeMode& mode);

// Whether the path could be opened for writing, without doing so: 0 or an errno.
int may_write(const std::string& path);

// What is wrong with a disk that cannot be opened for writing.
Error not_writable(const std::string& path, int error);

}  // namespace acrn
