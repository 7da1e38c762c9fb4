// Opens what a `-s <slot>,virtio-blk,...` line names: checks the file, locks it, stacks engine and filters.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/image/image_info.h"

namespace acrn {

// What the options and the file together say. Produced without opening anything for writing.
struct DiskFacts {
  BlockInfo info;  // of the stack, after window and alignment; size 0 for nodisk
  // Stable over options, and over the order in which a host finds its devices: "file:<real path>" or device_identity()
  // with
  // ":whole" or ":<start>+<size>", "ram:<slot>", "nodisk:<slot>". The disk's serial is made of it (dm/ident).
  std::string identity;
  std::string medium;                       // "file", "block device", "ram", "nodisk"
  BlockEngine engine = BlockEngine::kAuto;  // of a file or device: what it stands for
  // Which bytes of which file or device are served, if they are to be locked.
  struct Bytes {
    uint64_t device = 0, inode = 0;  // of a block device its number and 0
    uint64_t start = 0, size = 0;
    bool shared = false;
  };
  std::optional<Bytes> locked;
  std::optional<ImageInfo> image;  // of a file with a format of its own
};

// Whether two disks can be open at the same time.
bool exclude_each_other(const DiskFacts::Bytes& a, const DiskFacts::Bytes& b);

// Whether the bytes could be locked now; at once without a file or with lock=off. Nothing is locked. kNoInput: they are
// in use.
Result<void> check_unlocked(const BlockOptions& options);

struct OpenedDisk {
  DiskFacts facts;
  std::unique_ptr<BlockBackend> backend;  // null for nodisk
};

// `slot` is the function's "bus:slot:function", which names disks that have no file.
// Errors: kNoInput for a file that cannot be served, kUsage for an option that does not fit it.
// Of a slot without a disk.
DiskFacts no_disk(const BlockOptions& options, const std::string& slot);
Result<DiskFacts> inspect_disk(const BlockOptions& options, const std::string& slot);
Result<OpenedDisk> open_disk(const BlockOptions& options, const std::string& slot);

}  // namespace acrn
