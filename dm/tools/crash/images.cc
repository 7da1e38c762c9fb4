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
#include "dm/base/errno_text.h"
#include "dm/base/whole_io.h"

namespace acrn {
namespace {

constexpr uint64_t kPiece = 1 << 20;  // bytes

}  // namespace

Error Image::failed(int error) const { return Error{ErrorKind::kIo, concat(path_, ": ", errno_text(error))}; }

Result<uint64_t> Image::size(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return Error{ErrorKind::kNoInput, concat(path, ": ", errno_text(errno))};
  if (!S_ISREG(status.st_mode)) return Error{ErrorKind::kNoInput, concat(path, ": no regular file; give an image")};
  return static_cast<uint64_t>(status.st_size);
}

// The data between the holes. copy_file_range() does not copy from one file system to every other.
Result<void> Image::copy_from(int from, off_t size) const {
  std::vector<std::byte> data;
  for (off_t at = 0; at < size;) {
    const off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return {};
    const off_t end = begin < 0 ? -1 : ::lseek(from, begin, SEEK_HOLE);
    if (end < 0) return failed(errno);
    for (at = begin; at < end;) {
      off_t to = at;
      if (::copy_file_range(from, &at, file_.fd(), &to, static_cast<size_t>(end - at), 0) > 0) continue;
      data.resize(std::min<uint64_t>(static_cast<uint64_t>(end - at), kPiece));
      if (const int error = read_whole(from, static_cast<uint64_t>(at), data); error != 0) return failed(error);
      if (auto written = write(static_cast<uint64_t>(at), data); !written) return written;
      at += static_cast<off_t>(data.size());
    }
  }
  return {};
}

Result<Image> Image::clone(const std::string& from, const std::string& path) {
  const auto bytes = size(from);
  if (!bytes) return bytes.error();
  const UniqueFd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!in) return Error{ErrorKind::kIo, concat(from, ": ", errno_text(errno))};
  Image image(path, UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)));
  if (!image.file_) return image.failed(errno);
  if (::ioctl(image.file_.fd(), FICLONE, in.fd()) == 0) return image;
  const auto length = static_cast<off_t>(bytes.value());
  if (::ftruncate(image.file_.fd(), length) != 0) return image.failed(errno);
  if (auto copied = image.copy_from(in.fd(), length); !copied) return copied.error();
  return image;
}

Result<void> Image::write(uint64_t offset, std::span<const std::byte> data) const {
  const int error = write_whole(file_.fd(), offset, data);
  return error == 0 ? Result<void>() : failed(error);
}

Result<void> Image::clear(uint64_t offset, uint64_t length) const {
  if (::fallocate(file_.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) == 0) {
    return {};
  }
  if (errno != EOPNOTSUPP) return failed(errno);
  const std::vector<std::byte> zeroes(std::min(length, kPiece));
  for (uint64_t done = 0; done < length; done += zeroes.size()) {
    const auto piece = std::span(zeroes).first(std::min<uint64_t>(length - done, zeroes.size()));
    if (Result<void> written = write(offset + done, piece); !written) return written;
  }
  return {};
}

}  // namespace acrn
