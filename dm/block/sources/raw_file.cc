#include "dm/block/sources/raw_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"
#include "acrn/block/iovec_cursor.h"
#include "dm/base/errno_text.h"
#include "dm/block/sources/byte_lock.h"

namespace acrn {
namespace {

constexpr int kDontCache = 0x80;  // RWF_DONTCACHE, which older headers do not have

int fallocate_retried(int fd, int mode, uint64_t offset, uint64_t length) {
  while (::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int ioctl_range(int fd, unsigned long command, uint64_t offset, uint64_t length) {
  std::array<uint64_t, 2> range{offset, length};
  while (::ioctl(fd, command, range.data()) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// Without flags the plain call does: it is 8 % faster for 4 KiB of cache than the one with a vector.
bool one_buffer(std::span<const iovec> iov, int flags) { return iov.size() == 1 && flags == 0; }

ssize_t read_now(int fd, std::span<const iovec> iov, off_t offset, int flags) {
  if (one_buffer(iov, flags)) return ::pread(fd, iov[0].iov_base, iov[0].iov_len, offset);
  return ::preadv2(fd, iov.data(), static_cast<int>(iov.size()), offset, flags);
}

ssize_t write_now(int fd, std::span<const iovec> iov, off_t offset, int flags) {
  if (one_buffer(iov, flags)) return ::pwrite(fd, iov[0].iov_base, iov[0].iov_len, offset);
  return ::pwritev2(fd, iov.data(), static_cast<int>(iov.size()), offset, flags);
}

bool in_memory(int fd) {
  struct statfs fs {};
  if (::fstatfs(fd, &fs) != 0) return false;
  return fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
}

}  // namespace

alignas(4096) std::array<std::byte, 64 << 10> zero_bytes;

bool lacks_operation(int error) { return error == EOPNOTSUPP || error == EINVAL || error == ENOTTY || error == ENOSYS; }

RawFile::RawFile(UniqueFd fd, const RawFileTraits& traits)
    : fd_(std::move(fd)),
      traits_(traits),
      size_(traits.info.size),
      // A direct write is told its own error, and nothing of it is left for a flush.
      sync_(fd_.fd(), traits.reopen && !traits.direct && !traits.info.read_only),
      inline_reads_(inline_reads_of(fd_.fd(), traits)),
      mapped_(traits.map_reads
                  ? std::make_unique<MappedReads>(fd_.fd(), traits.block_device, try_read_may_wait(), traits.info.size)
                  : nullptr) {}

// RWF_NOWAIT with O_DIRECT starts the transfer and waits for it. A tmpfs does not know the flag, but has no medium to
// wait for either (but for swap, which guest memory may be in too).
RawFile::InlineReads RawFile::inline_reads_of(int fd, const RawFileTraits& traits) {
  if (traits.direct) return InlineReads::kNever;
  return !traits.block_device && in_memory(fd) ? InlineReads::kMemory : InlineReads::kNowait;
}

RawFile::~RawFile() {
  if (traits_.unlock) traits_.unlock->release();
}

BlockInfo RawFile::info() const {
  BlockInfo info = traits_.info;
  info.size = size_.load(std::memory_order_relaxed);  // pairs with nothing: the size stands for itself
  return info;
}

int RawFile::check(const BlockRequest& request) const {
  if (request.op == BlockOp::kFlush) return 0;
  if (!is_inside(request)) return EINVAL;
  return traits_.info.read_only && request.op != BlockOp::kRead ? EROFS : 0;
}

int RawFile::execute(const BlockRequest& request) {
  if (const int error = check(request); error != 0) return error;
  switch (request.op) {
    case BlockOp::kRead: return read(request);
    case BlockOp::kFlush: return flush();
    case BlockOp::kWrite:
      if (!request.stable) return transfer(fd_.fd(), request);
      return note_stable_write(sync_.write([&](int fd) { return transfer(fd, request); }));
    default: return remove(request);
  }
}

bool RawFile::knows_dont_cache(int fd) {
  std::byte byte;
  const iovec iov{&byte, 1};
  return ::preadv2(fd, &iov, 1, 0, kDontCache) == 1;
}

int RawFile::transfer_flags(const BlockRequest& request) const {
  return (traits_.dont_cache ? kDontCache : 0) | (request.op == BlockOp::kWrite && request.stable ? RWF_DSYNC : 0);
}

int RawFile::read(const BlockRequest& request) {
  if (mapped_ != nullptr && request.length > kMostTried) {
    LapTimer timer;
    if (read_mapped(request, MappedReads::Access::kOrder, timer)) return 0;
  }
  const int error = transfer(fd_.fd(), request);
  if (error == 0 && mapped_ != nullptr) mapped_->note_read(request.offset, request.length);
  return error;
}

int RawFile::transfer(int fd, const BlockRequest& request) {
  const bool write = request.op == BlockOp::kWrite;
  const int flags = transfer_flags(request);
  IoVecCursor cursor(request.iov);
  std::array<iovec, kCutVectors> scratch;
  uint64_t done = 0;
  for (unsigned again = 0; done < request.length;) {
    const std::span<const iovec> iov = cursor.for_system_call(scratch);
    if (iov.empty()) return EINVAL;
    const off_t offset = static_cast<off_t>(request.offset + done);
    const ssize_t moved = (write ? write_now : read_now)(fd, iov, offset, flags);
    if (moved > 0) {
      done += static_cast<uint64_t>(moved);
      if (done < request.length) cursor.advance(static_cast<size_t>(moved));
    } else if (moved == 0) {
      return EIO;  // the file ends here
    } else if (errno == EAGAIN && again < kMaxAgain) {
      again++;
      sched_yield();
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

bool RawFile::try_read(const BlockRequest& request, MappedReads::Access access, bool may_begin, LapTimer& timer) {
  if (!is_inside(request) || request.iov.size() > IOV_MAX) return false;
  // Relaxed: the mode is all that is read, and it only ever changes to kNever.
  const InlineReads mode = inline_reads_.load(std::memory_order_relaxed);
  if (mode == InlineReads::kNever) return false;
  const bool asks = mode == InlineReads::kNowait && mapped_ != nullptr;
  if (asks) {
    const auto asked = mapped_->ask_and_read(request.iov, request.offset, request.length, access, timer);
    if (asked == MappedReads::Asked::kRead) return true;
    if (asked == MappedReads::Asked::kMissing && !may_begin) return false;
  }
  const ssize_t moved = read_now(fd_.fd(), request.iov, static_cast<off_t>(request.offset),
                                 (mode == InlineReads::kNowait ? RWF_NOWAIT : 0) | transfer_flags(request));
  if (moved < 0 && errno == EOPNOTSUPP) inline_reads_.store(InlineReads::kNever, std::memory_order_relaxed);
  if (moved < 0 || static_cast<uint64_t>(moved) != request.length) return false;
  if (mapped_ != nullptr && !asks) mapped_->note_read(request.offset, request.length);
  return true;
}

int RawFile::note_stable_write(int error) {
  // Where its description is not its own, it may have been told what an earlier write has lost. A full file system is
  // mostly found before anything is cached, so it says nothing about other data.
  if (error == EIO) note_flush(error);
  return error;
}

int RawFile::flush() { return traits_.info.read_only ? 0 : sync_.flush(); }

RawFile::Bytes RawFile::discardable(const BlockRequest& request) const {
  const uint64_t granularity = traits_.info.discard_granularity, end = request.offset + request.length;
  return {round_up(request.offset, granularity), round_down(end, granularity)};
}

int RawFile::remove(const BlockRequest& request) {
  note_removal(request);
  const int error = request.op == BlockOp::kDiscard ? discard(request) : write_zeroes(request);
  note_removal(request);
  return error;
}

int RawFile::discard(const BlockRequest& request) {
  const Bytes range = discardable(request);
  if (range.begin >= range.end) return 0;
  const uint64_t length = range.end - range.begin;
  const int error = traits_.block_device
                        ? ioctl_range(fd_.fd(), BLKDISCARD, range.begin, length)
                        : fallocate_retried(fd_.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range.begin, length);
  return error == EOPNOTSUPP ? 0 : error;  // a hint
}

int RawFile::write_zeroes(const BlockRequest& request) {
  if (request.length == 0) return 0;
  int error = zero_range(request);
  if (lacks_operation(error)) error = write_zero_bytes(request.offset, request.length);
  if (error != 0) return request.stable ? note_stable_write(error) : error;
  return request.stable ? flush() : 0;
}

int RawFile::zero_range(const BlockRequest& request) {
  int error = EOPNOTSUPP;
  if (request.may_unmap) {
    error = fallocate_retried(fd_.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request.offset, request.length);
    if (!lacks_operation(error)) return error;
  }
  // Neither of these deallocates; BLKZEROOUT is documented to write zeroes where it has to.
  return traits_.block_device
             ? ioctl_range(fd_.fd(), BLKZEROOUT, request.offset, request.length)
             : fallocate_retried(fd_.fd(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, request.offset, request.length);
}

int RawFile::write_zero_bytes(uint64_t offset, uint64_t length) {
  std::array<iovec, 16> iov;
  while (length > 0) {
    BlockRequest piece;
    piece.op = BlockOp::kWrite;
    piece.offset = offset;
    size_t count = 0;
    for (; count < iov.size() && piece.length < length; count++) {
      iov[count] = {zero_bytes.data(), std::min<uint64_t>(zero_bytes.size(), length - piece.length)};
      piece.length += iov[count].iov_len;
    }
    piece.iov = std::span(iov).first(count);
    if (const int error = transfer(fd_.fd(), piece); error != 0) return error;
    offset += piece.length;
    length -= piece.length;
  }
  return 0;
}

Result<uint64_t> RawFile::refresh_size() {
  uint64_t size = 0;
  if (const int error = size_of(fd_.fd(), traits_.block_device, size); error != 0) {
    return Error{ErrorKind::kNoInput,
                 concat("virtio-blk ", traits_.name, ": its size cannot be read: ", errno_text(error))};
  }
  const auto refuse = [&](const std::string& why) {
    return Error{ErrorKind::kNoInput, concat("virtio-blk ", traits_.name, ": ", why)};
  };
  if (traits_.window) {
    size_.store(size, std::memory_order_relaxed);  // as in info()
    return size;
  }
  if (size == 0) return refuse("it is empty now, and a disk has at least one sector; what it held is gone");
  if (const uint64_t unit = std::max(traits_.sector, traits_.info.offset_alignment); size % unit != 0) {
    return refuse(
        concat("its new size ", size, " is not a multiple of ", unit, " bytes; give it ", (size / unit + 1) * unit));
  }
  const uint64_t served = size_.load(std::memory_order_relaxed);  // as in info()
  if (traits_.lock_growth && size > served) {
    const ByteLock lock{.fd = fd_.fd(),
                        .start = served,
                        .length = size - served,
                        .shared = traits_.info.read_only,
                        .name = traits_.name,
                        .sent = traits_.unlock.has_value()};
    if (auto locked = lock.take(); !locked) return locked.error();
  }
  size_.store(size, std::memory_order_relaxed);  // as in info()
  return size;
}

int size_of(int fd, bool block_device, uint64_t& size) {
  if (block_device) return ::ioctl(fd, BLKGETSIZE64, &size) == 0 ? 0 : errno;
  struct stat status {};
  if (::fstat(fd, &status) != 0) return errno;
  size = static_cast<uint64_t>(status.st_size);
  return 0;
}

}  // namespace acrn
