#include "dm/block/sources/file_map.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "acrn/base/unique_fd.h"

namespace acrn {
namespace {

class FileMap final : public DiskMap {
 public:
  FileMap(UniqueFd file, uint64_t size) : file_(std::move(file)), size_(size) {}
  Extent extent_at(uint64_t offset) override {
    const auto start = static_cast<off_t>(offset);
    if (offset >= size_) return kUnknown;
    const off_t data = ::lseek(file_.fd(), start, SEEK_DATA);
    if (data > start) return {static_cast<uint64_t>(data - start), true};
    if (data < start) return errno == ENXIO ? Extent{size_ - offset, true} : kUnknown;  // no more data
    const off_t hole = ::lseek(file_.fd(), start, SEEK_HOLE);
    return hole > start ? Extent{static_cast<uint64_t>(hole - start), false} : kUnknown;
  }

 private:
  const UniqueFd file_;
  const uint64_t size_;  // bytes
};

}  // namespace

std::unique_ptr<DiskMap> open_file_map(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (!file || ::fstat(file.fd(), &status) != 0 || !S_ISREG(status.st_mode)) return nullptr;
  return std::make_unique<FileMap>(std::move(file), static_cast<uint64_t>(status.st_size));
}

}  // namespace acrn
