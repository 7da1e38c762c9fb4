#include "dm/boot/boot_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/whole_io.h"

namespace acrn {

Result<BootFile> BootFile::open(const char* option, const std::string& path) {
  // Non-blocking, or a FIFO would keep us waiting for a writer.
  BootFile file(option, path, UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)));
  struct stat status;
  if (!file.fd_ || ::fstat(file.fd_.fd(), &status) != 0) {
    return file.refuse(concat(errno_text(errno), "; give a readable regular file"));
  }
  if (!S_ISREG(status.st_mode)) return file.refuse("not a regular file; give a readable regular file");
  file.size_ = static_cast<uint64_t>(status.st_size);
  return file;
}

Result<void> BootFile::read(uint64_t offset, std::span<std::byte> to) const {
  auto done = try_read(offset, to);
  return done ? done : refuse(done.error().message);
}

Result<void> BootFile::try_read(uint64_t offset, std::span<std::byte> to) const {
  const int error = read_whole(fd_.fd(), offset, to);
  if (error == 0) return {};
  return Error{ErrorKind::kNoInput, error == ENODATA ? "became shorter while it was read" : errno_text(error)};
}

Error BootFile::refuse(std::string_view why) const {
  return {ErrorKind::kNoInput, concat(option_, " ", path_, ": ", why)};
}

}  // namespace acrn
