// What is known of a disk, and the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/image/image_info.h"

namespace acrn {

// What the options and the file together say. Produced without opening anything for writing.
struct DiskFacts {
  BlockInfo info;  // of the stack, after window and alignment; size 0 for nodisk
  // Stable over options, and over the order in which a host finds its devices: "file:<real path>", device_identity() or
  // "nbd:<uri>", "vhost-user:<path>" or "rbd:<cluster>/<pool>/<image ID>" with ":whole" or ":<start>+<size>",
  // "ram:<slot>", "nodisk:<slot>". The disk's serial is made of it (dm/ident).
  std::string identity;
  // "file", "block device", "image", "nbd", "vhost-user", "rbd", "ram" or "nodisk".
  std::string medium;
  BlockEngine engine = BlockEngine::kAuto;  // of a file or device: what it stands for
  MapMode map = MapMode::kOff;              // the same
  // Bytes of a file or device that are served, and are to be locked.
  struct Bytes {
    std::string path;                // for messages
    uint64_t device = 0, inode = 0;  // of a block device its number and 0
    uint64_t start = 0, size = 0;
    bool shared = false;
  };
  std::vector<Bytes> locked;
  std::optional<ImageInfo> image;  // of a file with a format of its own
  std::string looks_like;          // the format that a whole file begins like, which is served as it is; or empty
};

class WriteLog;

struct OpenedDisk {
  DiskFacts facts;
  std::unique_ptr<BlockBackend> backend;  // null for nodisk
  std::shared_ptr<WriteLog> log = {};     // null: without log=
};

}  // namespace acrn
