#include "dm/block/sources/probe.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <tuple>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/block/sources/device_identity.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {
namespace {

constexpr uint32_t kLargestBlock = 64 << 10;  // who reports more means a good size of a transfer
constexpr uint32_t kSafeDirectAlign = 4096;   // where the host cannot say what O_DIRECT needs

Error refuse(const std::string& path, const std::string& why) {
  return Error{ErrorKind::kNoInput, concat("virtio-blk ", path, ": ", why)};
}

Error not_writable(const std::string& path, int error) {
  return refuse(path, concat("cannot be opened for writing: ", errno_text(error), "; add ro to serve it read-only"));
}

std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISSOCK(mode)) return "a socket";
  return "no regular file";
}

Result<void> check_kind(const std::string& path, const struct stat& status) {
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return {};
  return refuse(path, kind_of(status.st_mode) + "; a disk is a regular file or a block device");
}

// 0, or the errno with which an open for writing would fail, as far as that can be seen without one.
int cannot_write(const std::string& path) {
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) return errno;
  struct statx extended {};
  const bool asked = ::statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE, &extended) == 0;
  return asked && (extended.stx_attributes & STATX_ATTR_APPEND) != 0 ? EPERM : 0;
}

uint32_t sane_block(uint64_t bytes) {
  if (bytes > kLargestBlock) return 4096;
  return static_cast<uint32_t>(std::bit_floor(std::max<uint64_t>(bytes, 512)));
}

// O_NONBLOCK: what the path names may have changed since it was looked at. It means nothing to a disk, but
// is taken off again, since a request must never be told to come back later.
Result<UniqueFd> open_path(const std::string& path, const ProbeMode& mode) {
  const bool write = mode.writable && !mode.only_look;
  const int flags = (write ? O_RDWR : O_RDONLY) | (mode.direct ? O_DIRECT : 0);
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) {
    const int error = errno;
    if (mode.direct && error == EINVAL) {
      return Error{ErrorKind::kUsage, concat("virtio-blk ", path,
                                             ": nocache: its file system has no direct I/O; "
                                             "leave nocache out")};
    }
    if (write && (error == EACCES || error == EROFS || error == EPERM || error == ETXTBSY)) {
      return not_writable(path, error);
    }
    return refuse(path, concat("cannot be opened: ", errno_text(error)));
  }
  if (::fcntl(fd.fd(), F_SETFL, flags & O_DIRECT) != 0) {
    return refuse(path, concat("cannot be set up: ", errno_text(errno)));
  }
  return fd;
}

// Whoever has sent it goes on sharing its flags, so they must be right already.
Result<UniqueFd> copy_descriptor(const std::string& name, const ProbeMode& mode) {
  const int flags = ::fcntl(mode.sent, F_GETFL), access = flags & O_ACCMODE;
  const auto refuse_flags = [&](const std::string& why) -> Result<UniqueFd> {
    return refuse(name, concat("the descriptor is open ", why));
  };
  if ((flags & O_PATH) != 0) return refuse_flags("for its path only (O_PATH); open the file");
  if (mode.writable && access != O_RDWR) {
    return refuse_flags("for reading or for writing only; open it for both, or add ro to serve it read-only");
  }
  if (!mode.writable && access != O_RDONLY) return refuse_flags("for writing; open it read-only, as the disk is");
  if ((flags & O_APPEND) != 0) return refuse_flags("for appending (O_APPEND); open it without");
  if ((flags & O_NONBLOCK) != 0) return refuse_flags("without waiting (O_NONBLOCK); open it without");
  if (mode.direct != ((flags & O_DIRECT) != 0)) {
    return refuse_flags(mode.direct ? "without O_DIRECT; open it with it, or leave nocache out"
                                    : "with O_DIRECT; open it without, or add nocache");
  }
  UniqueFd copy(::fcntl(mode.sent, F_DUPFD_CLOEXEC, 0));
  if (!copy) return refuse(name, concat("cannot be opened: ", errno_text(errno)));
  return copy;
}

std::string sysfs_of(dev_t device) { return concat("/sys/dev/block/", major(device), ":", minor(device)); }

// The value of a file in the queue directory of a disk, or of the disk that a partition is on; 0: none.
uint64_t queue_limit(dev_t device, const char* name) {
  const std::string base = sysfs_of(device);
  for (const char* queue : {"/queue/", "/../queue/"}) {
    std::ifstream file(base + queue + name);
    uint64_t value = 0;
    if (file >> value) return value;
  }
  return 0;
}

Result<void> probe_block_device(const std::string& path, const struct stat& status, const ProbeMode& mode,
                                DiskProbe& probe) {
  int read_only = 0;
  if (mode.writable && ::ioctl(probe.fd.fd(), BLKROGET, &read_only) == 0 && read_only != 0)
    return not_writable(path, EROFS);
  int logical = 512;
  unsigned physical = 512;
  if (::ioctl(probe.fd.fd(), BLKSSZGET, &logical) != 0 || ::ioctl(probe.fd.fd(), BLKPBSZGET, &physical) != 0) {
    return refuse(path, concat("its block size cannot be read: ", errno_text(errno)));
  }
  probe.block_device = true;
  probe.physical_block = sane_block(physical);
  probe.direct_offset_align = sane_block(static_cast<uint64_t>(logical));
  probe.direct_memory_align = probe.direct_offset_align;
  const uint64_t granularity = probe.sent ? 0 : queue_limit(status.st_rdev, "discard_granularity");
  probe.discard_granularity = std::max(sane_block(granularity), probe.direct_offset_align);
  probe.identity = probe.sent ? "device:" + path : device_identity(sysfs_of(status.st_rdev), path);
  return {};
}

Result<void> probe_file(const std::string& path, const struct stat& status, DiskProbe& probe) {
  probe.physical_block = sane_block(static_cast<uint64_t>(status.st_blksize));
  probe.discard_granularity = probe.physical_block;
  probe.direct_offset_align = probe.direct_memory_align = kSafeDirectAlign;
#ifdef STATX_DIOALIGN
  struct statx extended {};
  if (::statx(probe.fd.fd(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 &&
      (extended.stx_mask & STATX_DIOALIGN) != 0) {
    const uint32_t offset = extended.stx_dio_offset_align, memory = extended.stx_dio_mem_align;
    probe.direct_offset_align = offset == 0 ? 0 : std::bit_ceil(offset);
    probe.direct_memory_align = offset == 0 ? 0 : std::bit_ceil(memory);
  }
#endif
  if (probe.sent) {
    probe.identity = "file:" + path;  // which is real
    return {};
  }
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (real == nullptr) return refuse(path, concat("its real path cannot be found: ", errno_text(errno)));
  probe.identity = concat("file:", static_cast<const char*>(real.get()));
  return {};
}

Result<void> probe_size(const std::string& path, DiskProbe& probe) {
  if (const int error = size_of(probe.fd.fd(), probe.block_device, probe.size); error != 0) {
    return refuse(path, concat("its size cannot be read: ", errno_text(error)));
  }
  if (probe.size == 0) {
    return refuse(path, probe.block_device ? "has no medium, its size is 0"
                                           : "is empty; a disk has at least 512 bytes (truncate -s 1G makes one)");
  }
  return {};
}

}  // namespace

std::pair<uint64_t, uint64_t> medium_of(const struct stat& status) {
  if (S_ISBLK(status.st_mode)) return {status.st_rdev, 0};
  return {status.st_dev, status.st_ino};
}

Result<DiskProbe> probe_disk(const std::string& path, const ProbeMode& mode) {
  struct stat status {};
  const bool sent = mode.sent >= 0;
  if ((sent ? ::fstat(mode.sent, &status) : ::stat(path.c_str(), &status)) != 0) {
    return refuse(path, concat("cannot be opened: ", errno_text(errno)));
  }
  if (auto kind = check_kind(path, status); !kind) return kind.error();
  if (mode.only_look && mode.writable) {
    if (const int error = cannot_write(path); error != 0) return not_writable(path, error);
  }
  auto fd = sent ? copy_descriptor(path, mode) : open_path(path, mode);
  if (!fd) return fd.error();
  DiskProbe probe;
  probe.fd = std::move(fd).value();
  probe.sent = sent;
  if (::fstat(probe.fd.fd(), &status) != 0) return refuse(path, concat("cannot be examined: ", errno_text(errno)));
  if (auto kind = check_kind(path, status); !kind) return kind.error();
  const bool is_device = S_ISBLK(status.st_mode);
  std::tie(probe.device, probe.inode) = medium_of(status);
  auto examined = is_device ? probe_block_device(path, status, mode, probe) : probe_file(path, status, probe);
  if (!examined) return examined.error();
  if (auto sized = probe_size(path, probe); !sized) return sized.error();
  return probe;
}

}  // namespace acrn
