// How another process has mapped a file that it gave us. A VMM that maps its guest's RAM privately (QEMU's
// memory-backend-file without share=on) hands out a descriptor all the same, but what the guest writes is not in the
// file.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace acrn {

// True: `process` has mapped some of [offset, offset + size) of the file, and only privately. False also where that
// cannot be seen: another user's process, or one that has not mapped it.
// Any thread.
bool is_mapped_privately(pid_t process, int fd, uint64_t offset, uint64_t size);

// For a program that will be confined, and may not look at other processes then: from now on a child looks for us. It
// ends with us. `confine` is called in the child first. Before there is another thread; false, with errno.
bool start_mapping_observer(void (*confine)());

}  // namespace acrn
