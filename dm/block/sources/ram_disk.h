// RamDisk: a disk in the host's memory, `ram:<size>`. Pages come with the first write and go with a discard.
// Any thread; requests are carried out inside submit(). Its content ends with it.
#pragma once

#include <memory>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"

namespace acrn {

inline constexpr uint32_t kRamDiskGranularity = 4096;  // bytes: what a discard frees is made of these

// `info`: size in bytes, a multiple of 512; the rest is what info() is to say. Fails when so much address
// space cannot be had.
Result<std::unique_ptr<BlockBackend>> make_ram_disk(const BlockInfo& info);

}  // namespace acrn
