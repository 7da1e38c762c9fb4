// How another process has mapped a file that it gave us. A VMM that maps its guest's RAM privately (QEMU's
// memory-backend-file without share=on) hands out a descriptor all the same, but what the guest writes is not in the
// file.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace acrn {

// One client's process. One thread at a time.
class PeerMappings {
 public:
  // Linux's list of a process's mappings is read up to here: bytes, twice what a large VMM has, and some 5 ms. A
  // hostile one can have a hundred times as much, and all clients of the program wait for who is looked at.
  static constexpr size_t kMostRead = 1 << 20;

  // 0: not known.
  explicit PeerMappings(pid_t process) : process_(process) {}

  // True: it has mapped some of [offset, offset + size) of the file, and only privately. False also where that cannot
  // be seen: another user's process, one that has not mapped it, or one with more mappings than are read, which is not
  // looked at again.
  bool are_private(int fd, uint64_t offset, uint64_t size);

 private:
  pid_t process_;
};

// For a program that will be confined, and may not look at other processes then: from now on a child looks for us. It
// ends with us. `confine` is called in the child first. Before there is another thread; false, with errno.
bool start_mapping_observer(void (*confine)());

}  // namespace acrn
