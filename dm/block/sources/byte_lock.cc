#include "dm/block/sources/byte_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

std::string bytes_text(uint64_t start, uint64_t length) {
  return length == kWholeFile ? "all bytes" : concat("bytes ", start, "..", start + length - 1);
}

}  // namespace

Error bytes_in_use(const std::string& name, uint64_t start, uint64_t length, const std::string& user) {
  return {ErrorKind::kNoInput, concat("virtio-blk ", name, ": ", bytes_text(start, length), " are in use by ", user,
                                      "; free them, or give lock=off if they are meant to be shared")};
}

Result<void> ByteLock::take(unsigned tries) const { return attempt(F_OFD_SETLK, tries); }
Result<void> ByteLock::look(unsigned tries) const { return attempt(F_OFD_GETLK, tries); }

Result<void> ByteLock::attempt(int command, unsigned tries) const {
  for (;;) {
    struct flock lock {};
    lock.l_type = shared ? F_RDLCK : F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(start);
    lock.l_len = static_cast<off_t>(length);
    const bool done = ::fcntl(fd, command, &lock) == 0;
    const bool taken = done ? command == F_OFD_GETLK && lock.l_type != F_UNLCK : errno == EAGAIN || errno == EACCES;
    if (done && !taken) return {};
    if (!taken) {
      return Error{ErrorKind::kNoInput,
                   concat("virtio-blk ", name, ": ", bytes_text(start, length),
                          " cannot be locked: ", errno_text(errno), "; lock=off serves it without a lock")};
    }
    if (--tries == 0) return bytes_in_use(name, start, length, "another disk or process");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace acrn
