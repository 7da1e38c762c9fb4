// Opens what a `-s <slot>,virtio-blk,...` line names: checks it, locks it, stacks source, engine and filters.
#pragma once

#include <string>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "dm/block/disk_facts.h"

namespace acrn {

// What of `later` cannot be open while `earlier` is; null: they get along.
const DiskFacts::Bytes* find_conflict(const DiskFacts& earlier, const DiskFacts& later);

// Whether the disk could be locked now; at once where there is nothing to lock. Nothing is locked. kNoInput: it is in
// use.
Result<void> check_unlocked(const BlockOptions& options);

// Of a slot without a disk.
DiskFacts no_disk(const BlockOptions& options, const std::string& slot);
// `slot` is the function's "bus:slot:function", which names disks that have no file.
// Errors: kNoInput for what cannot be served, kUsage for an option that does not fit it, kUnavailable for a program
// that is missing.
Result<DiskFacts> inspect_disk(const BlockOptions& options, const std::string& slot);
Result<OpenedDisk> open_disk(const BlockOptions& options, const std::string& slot);
// The source that such a descriptor is. It stays the caller's; a disk of it has a copy.
SentFile sent_file(int fd);

}  // namespace acrn
