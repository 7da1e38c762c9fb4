// How another process has mapped a file that it gave us. A VMM that maps its guest's RAM privately (QEMU's
// memory-backend-file without share=on) hands out a descriptor all the same, but what the guest writes is not in the
// file.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace acrn {

// True: `process` has mapped some of [offset, offset + size) of the file, and only privately. False also where that
// cannot be seen: another user's process, or one that has not mapped it.
bool is_mapped_privately(pid_t process, int fd, uint64_t offset, uint64_t size);

}  // namespace acrn
