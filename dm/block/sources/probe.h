// Opens the path of a disk, or takes a descriptor of it, and finds out what it is: nothing is created, truncated,
// locked or written, and nothing that is not a disk can make it wait. Called before the program's threads run.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

struct DiskProbe {
  UniqueFd fd;
  bool sent = false;  // others have the same open file
  bool block_device = false;
  uint64_t size = 0;                 // bytes, not 0
  uint32_t physical_block = 512;     // bytes, power of two
  uint32_t direct_offset_align = 0;  // what O_DIRECT needs, bytes; 0: the file has no O_DIRECT
  uint32_t direct_memory_align = 0;
  uint32_t discard_granularity = 512;
  uint64_t device = 0, inode = 0;  // as of medium_of()
  std::string identity;            // "file:<real path>", or device_identity()
};

struct ProbeMode {
  bool writable = false;   // the disk is going to be written
  bool direct = false;     // with O_DIRECT
  bool only_look = false;  // open read-only whatever is wanted, but say whether it could be had
  int sent = -1;           // the descriptor of a file that others have opened; nothing is opened for it. -1: none
};

// What tells files and block devices apart, by whichever path: device and inode, of a block device its number and 0.
std::pair<uint64_t, uint64_t> medium_of(const struct stat& status);

// The error's message starts with "virtio-blk <path>: ".
Result<DiskProbe> probe_disk(const std::string& path, const ProbeMode& mode);

}  // namespace acrn
