#include "dm/base/replaced_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/folder.h"

namespace acrn {

Error ReplacedFile::refused(std::string_view why, ErrorKind kind) const {
  return Error{kind, concat(option, "=", path, ": ", why)};
}

// Empty: it may be replaced.
std::string ReplacedFile::why_not_replaced(int fd) const {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return "no regular file; name one that may be made";
  struct flock lock {};
  lock.l_type = F_WRLCK;
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK) return "it is a disk in use; name another file";
  std::vector<std::byte> begin(magic.size());
  const ssize_t size = ::pread(fd, begin.data(), begin.size(), 0);
  const bool ours = size == static_cast<ssize_t>(begin.size()) && std::ranges::equal(begin, magic);
  if (size == 0 || (ours && static_cast<uint64_t>(status.st_size) >= least)) return "";
  return concat("it is there and ", what, ", so it is not replaced; name another file");
}

Error ReplacedFile::cannot_open() const {
  if (errno == ELOOP) return refused("a symbolic link; name the file itself");
  return refused(errno_text(errno), ErrorKind::kNoInput);
}

Result<void> ReplacedFile::check() const {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (file) {
    const std::string why = why_not_replaced(file.fd());
    return why.empty() ? Result<void>() : refused(why);
  }
  if (errno != ENOENT) return cannot_open();
  const std::string folder = parent_folder(path);
  const int error = cannot_create_in(folder);
  if (error == 0) return {};
  return refused(concat("it cannot be made in ", folder, ": ", errno_text(error)), ErrorKind::kNoInput);
}

Result<UniqueFd> ReplacedFile::open() const {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0600));
  if (!file) return cannot_open();
  if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) return refused("another disk writes it; name another file");
  // Disks lock what they serve, those that are only read, too.
  struct flock all {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  if (::fcntl(file.fd(), F_OFD_SETLK, &all) != 0) return refused("a disk or another process uses it");
  if (const std::string why = why_not_replaced(file.fd()); !why.empty()) return refused(why);
  return file;
}

}  // namespace acrn
