// The options of a virtio-blk function: text to BlockOptions. Pure; nothing is opened.
#pragma once

#include <span>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"

namespace acrn {

inline constexpr unsigned kMaxQueues = 64;
inline constexpr unsigned kMaxIoThreads = 64;

// `fields` is what follows the slot or the emulation, split at commas: [iothread..,][mq=..,]<path>[,opt...].
// Errors are kUsage and name the option, its value and what would be right.
Result<BlockOptions> parse_block_options(std::span<const std::string> fields);

// The same for the disk that a `nodisk` slot gets later (blkrescan): the slot's options, then those in `fields`. Those
// that the guest or its threads know already must stay as the slot has them.
Result<BlockOptions> parse_rescan_options(std::span<const std::string> fields, const BlockOptions& slot);

// The source as the user would write it: a path, "nodisk" or "ram:<bytes>".
std::string source_text(const BlockSource& source);

}  // namespace acrn
