#include "dm/block/sources/byte_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/block/disk_plan.h"

namespace acrn {
namespace {

constexpr auto kBetweenTries = std::chrono::milliseconds(10);
constexpr const char* kSomebody = "another disk or process";

struct flock range_of(const ByteLock& lock, short type) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(lock.start);
  range.l_len = static_cast<off_t>(lock.length);
  return range;
}

std::string bytes_text(uint64_t start, uint64_t length) {
  return length == kWholeFile ? "all bytes" : concat("bytes ", start, "..", start + length - 1);
}

}  // namespace

Error bytes_in_use(const std::string& name, uint64_t start, uint64_t length, const std::string& user) {
  return {ErrorKind::kNoInput, concat("virtio-blk ", name, ": ", bytes_text(start, length), " are in use by ", user,
                                      "; free them, or give lock=off if they are meant to be shared")};
}

Result<void> ByteLock::take(unsigned tries) const {
  return sent && !shared ? take_from_all(tries) : attempt(F_OFD_SETLK, tries);
}
Result<void> ByteLock::look(unsigned tries) const { return attempt(F_OFD_GETLK, tries); }

void ByteLock::release() const {
  struct flock lock = range_of(*this, F_UNLCK);
  ::fcntl(fd, F_OFD_SETLK, &lock);
}

bool is_written_by_qemu(int fd, unsigned tries) {
  const ByteLock byte{.fd = fd, .start = kQemuWrites, .length = 1, .shared = false, .name = {}};
  for (;; std::this_thread::sleep_for(kBetweenTries)) {
    struct flock lock = range_of(byte, F_WRLCK);
    // One that begins with a sector is a reader's of ours.
    if (::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return false;
    if (static_cast<uint64_t>(lock.l_start) % kSmallestSector == 0) return false;
    if (--tries == 0) return true;
  }
}

// Who has the same open file has the same locks, which do not stop each other. A process's own lock stops at them all,
// but ours would stop at it, too. So each process looks as one with a lock of its own would, then takes the open
// file's; and to do both alone, it has the byte behind all others meanwhile.
Result<void> ByteLock::take_from_all(unsigned tries) const {
  const ByteLock turn{.fd = fd, .start = kWholeFile, .length = 1, .shared = false, .name = name};
  if (!turn.attempt(F_SETLK, tries)) return bytes_in_use(name, start, length, kSomebody);
  Result<void> taken = attempt(F_GETLK, tries);
  if (taken) taken = attempt(F_OFD_SETLK, 1);
  struct flock lock = range_of(turn, F_UNLCK);
  ::fcntl(fd, F_SETLK, &lock);
  return taken;
}

Result<void> ByteLock::attempt(int command, unsigned tries) const {
  for (;;) {
    struct flock lock = range_of(*this, shared ? F_RDLCK : F_WRLCK);
    const bool looks = command == F_OFD_GETLK || command == F_GETLK;
    const bool done = ::fcntl(fd, command, &lock) == 0;
    const bool taken = done ? looks && lock.l_type != F_UNLCK : errno == EAGAIN || errno == EACCES;
    if (done && !taken) return {};
    if (!taken) {
      return Error{ErrorKind::kNoInput,
                   concat("virtio-blk ", name, ": ", bytes_text(start, length),
                          " cannot be locked: ", errno_text(errno), "; lock=off serves it without a lock")};
    }
    if (--tries == 0) return bytes_in_use(name, start, length, kSomebody);
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace acrn
