// The format of the kernel's dm-log-writes, little endian: a super block, and then entries, each in a sector of its own
// with the sectors of its data behind it (Linux, Documentation/admin-guide/device-mapper/log-writes.rst).
#pragma once

#include <cstddef>
#include <cstdint>

#include "acrn/base/bytes.h"

namespace acrn {

inline constexpr uint64_t kLogWritesMagic = 0x6a736677736872, kLogWritesVersion = 1;
inline constexpr uint32_t kLogWritesSector = 512;  // bytes, of ours

struct LogWritesSuper {
  Le64 magic, version, entries;
  Le32 sector_size;
};

struct LogWritesEntry {
  static constexpr uint64_t kFlush = 1, kFua = 2, kDiscard = 4, kMark = 8;
  Le64 sector, sectors;
  Le64 flags;
  Le64 data_bytes;  // of a mark, whose text follows in the same sector
};
static_assert(sizeof(LogWritesEntry) == 32);

}  // namespace acrn
