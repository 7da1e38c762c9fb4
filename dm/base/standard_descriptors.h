// Descriptors 0, 1 and 2 of a process that was started without one of them.
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace acrn {

// First thing in main(). Otherwise the first file that is opened would become stdout or stderr, and messages would be
// written into a disk.
inline void ensure_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // open() takes the lowest free number, which is `fd` since those below it are taken by now.
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return;
  }
}

}  // namespace acrn
