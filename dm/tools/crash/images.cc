#include "dm/tools/crash/images.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

Error failed(const std::string& path) { return Error{ErrorKind::kIo, concat(path, ": ", errno_text(errno))}; }

// The data between the holes.
bool copy_data(int from, int to, off_t size) {
  for (off_t at = 0; at < size;) {
    const off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0) return errno == ENXIO;
    const off_t end = ::lseek(from, begin, SEEK_HOLE);
    if (end < 0) return false;
    off_t in = begin, out = begin;
    while (in < end) {
      const ssize_t copied = ::copy_file_range(from, &in, to, &out, static_cast<size_t>(end - in), 0);
      if (copied <= 0) return false;
    }
    at = end;
  }
  return true;
}

}  // namespace

Result<void> clone_image(const std::string& from, const std::string& to) {
  const UniqueFd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!in || ::fstat(in.fd(), &status) != 0) return failed(from);
  const UniqueFd out(::open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return failed(to);
  if (::ioctl(out.fd(), FICLONE, in.fd()) == 0) return {};
  if (::ftruncate(out.fd(), status.st_size) != 0 || !copy_data(in.fd(), out.fd(), status.st_size)) return failed(to);
  return {};
}

Result<uint64_t> image_size(const std::string& image) {
  struct stat status {};
  if (::stat(image.c_str(), &status) != 0) return Error{ErrorKind::kNoInput, concat(image, ": ", errno_text(errno))};
  if (!S_ISREG(status.st_mode)) return Error{ErrorKind::kNoInput, concat(image, ": no regular file; give an image")};
  return static_cast<uint64_t>(status.st_size);
}

Result<void> write_image(const std::string& image, uint64_t offset, std::span<const std::byte> data) {
  const UniqueFd out(::open(image.c_str(), O_RDWR | O_CLOEXEC));
  if (!out) return failed(image);
  while (!data.empty()) {
    const ssize_t written = ::pwrite(out.fd(), data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed(image);
    data = data.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Result<void> clear_image(const std::string& image, uint64_t offset, uint64_t length) {
  const UniqueFd out(::open(image.c_str(), O_RDWR | O_CLOEXEC));
  if (!out) return failed(image);
  if (::fallocate(out.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) == 0) {
    return {};
  }
  if (errno != EOPNOTSUPP) return failed(image);
  const std::vector<std::byte> zeroes(std::min<uint64_t>(length, 1 << 20));
  while (length != 0) {
    const uint64_t size = std::min<uint64_t>(length, zeroes.size());
    if (Result<void> written = write_image(image, offset, std::span(zeroes).first(size)); !written) return written;
    offset += size;
    length -= size;
  }
  return {};
}

}  // namespace acrn
