// Opens what a `-s <slot>,virtio-blk,...` line names: checks the file, locks it, stacks engine and filters.
#pragma once

#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"

namespace acrn {

// What the options and the file together say. Produced without opening anything for writing.
struct DiskFacts {
  BlockInfo info;  // of the stack, after window and alignment; size 0 for nodisk
  // Stable over options, and over the order in which a host finds its devices: "file:<real path>" or device_identity() with
  // ":whole" or ":<start>+<size>", "ram:<slot>", "nodisk:<slot>". The disk's serial is made of it (dm/ident).
  std::string identity;
  std::string medium;  // "file", "block device", "ram", "nodisk"
  BlockEngine engine = BlockEngine::kAuto;  // of a file or device: what it stands for
};

struct OpenedDisk {
  DiskFacts facts;
  std::unique_ptr<BlockBackend> backend;  // null for nodisk
};

// `slot` is the function's "bus:slot:function", which names disks that have no file.
// Errors: kNoInput for a file that cannot be served, kUsage for an option that does not fit it.
Result<DiskFacts> inspect_disk(const BlockOptions& options, const std::string& slot);
Result<OpenedDisk> open_disk(const BlockOptions& options, const std::string& slot);

}  // namespace acrn
