// The module that knows Ceph: acrn_block_rbd.so, which is loaded when a disk asks for it. Both sides are made of the
// same sources, so what goes between them are C++ objects, and the version is checked first.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"

namespace acrn {

// An RBD image, and how it is wanted.
struct RbdPlace {
  std::string name;                   // for messages, as the user wrote it
  std::string pool, image, snapshot;  // no snapshot: the image itself
  std::string conf, id;               // Ceph's configuration file and client; empty: Ceph's own
  bool read_only = false;
  bool lock = true;                  // for itself, if it is to be written
  bool writeback = false;            // librbd may hold writes back until a flush
  std::chrono::seconds patience{0};  // until a request fails whose OSD does not answer
};

struct RbdFacts {
  uint64_t size = 0;     // bytes
  std::string identity;  // "rbd:<cluster>/<pool>/<image ID>[@<snapshot>]"
};

// What the module exports, as kRbdModuleSymbol.
struct RbdModule {
  const char* version;  // of acrn-dm: anything else is no module of ours
  // Errors of both: kNoInput, in one line that begins with "virtio-blk <name>: ".
  Result<RbdFacts> (*inspect)(const RbdPlace& place);
  // `info`: what the disk's info() is to say, but for its size.
  Result<std::unique_ptr<BlockBackend>> (*open)(const RbdPlace& place, const BlockInfo& info);
};
inline constexpr const char* kRbdModuleSymbol = "acrn_block_rbd";

// Loads it once. Errors: kUnavailable.
Result<const RbdModule*> load_rbd_module();

}  // namespace acrn
