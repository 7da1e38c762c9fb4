#include "dm/tools/bench/direct.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"
#include "dm/base/errno_text.h"
#include "dm/devices/block_device_options.h"

namespace acrn {
namespace {

constexpr size_t kAlignment = 4096;
// Like guest RAM: a disk takes one large transfer in few pieces, and the other side shall have no worse.
constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Result<DirectFile> DirectFile::open(const BlockOptions& disk, std::string_view option) {
  const auto* path = std::get_if<FilePath>(&disk.source);
  if (path == nullptr) {
    return Error{ErrorKind::kUsage, concat(option, ": needs a file or a block device, not ", source_text(disk.source))};
  }
  DirectFile file;
  const int flags = (disk.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (disk.nocache ? O_DIRECT : 0);
  file.file_ = UniqueFd(::open(path->path.c_str(), flags));
  if (!file.file_) return Error{ErrorKind::kNoInput, concat(option, ": ", path->path, ": ", errno_text(errno))};
  file.write_flags_ = disk.writeback ? 0 : RWF_DSYNC;
  if (disk.range) file.start_ = disk.range->start * disk.logical_sector;
  return file;
}

Result<void> DirectFile::drop_pages() const {
  if (fdatasync(fd()) != 0) return Error{ErrorKind::kIo, concat("bench: fdatasync: ", errno_text(errno))};
  if (const int error = posix_fadvise(fd(), 0, 0, POSIX_FADV_DONTNEED); error != 0) {
    return Error{ErrorKind::kInternal, concat("bench: posix_fadvise: ", errno_text(error))};
  }
  return {};
}

Result<DirectBuffers> DirectBuffers::create(unsigned count, uint32_t bytes) {
  DirectBuffers buffers;
  buffers.stride_ = round_up(bytes, kAlignment);
  const size_t size = round_up(buffers.stride_ * count, kHugePage);
  void* const memory = std::aligned_alloc(kHugePage, size);
  if (memory != nullptr) madvise(memory, size, MADV_HUGEPAGE);  // small pages do as well, but slower
  if (memory == nullptr) return Error{ErrorKind::kInternal, "--direct-baseline: out of memory"};
  buffers.memory_.reset(static_cast<std::byte*>(memory));
  std::fill_n(buffers.memory_.get(), buffers.stride_ * count, std::byte{0x5a});
  return buffers;
}

Result<void> run_direct_calls(const DirectFile& file, const BenchOptions& options, BenchPattern pattern, double seconds,
                              BenchRound& round) {
  auto buffers = DirectBuffers::create(options.depth, options.block);
  if (!buffers) return buffers.error();
  const auto begin = BenchClock::now();
  const auto end = begin + bench_duration(seconds);
  auto now = begin;
  for (size_t i = 0; now < end; i++) {
    std::byte* const data = buffers.value()[i % options.depth];
    const bool read = pattern.next_is_read();
    const auto offset = static_cast<off_t>(file.start() + pattern.next_block() * options.block);
    ssize_t moved;
    if (read) {
      moved = pread(file.fd(), data, options.block, offset);
    } else if (file.write_flags() == 0) {
      moved = pwrite(file.fd(), data, options.block, offset);
    } else {
      const iovec buffer{data, options.block};
      moved = pwritev2(file.fd(), &buffer, 1, offset, file.write_flags());
    }
    const int error = errno;
    const auto then = BenchClock::now();
    if (moved == static_cast<ssize_t>(options.block)) {
      round.latency.add(static_cast<uint64_t>((then - now).count()));
    } else if (round.errors++ == 0) {
      round.first_error = moved < 0 ? errno_text(error) : concat("only ", moved, " bytes");
    }
    now = then;
  }
  round.seconds = std::chrono::duration<double>(now - begin).count();
  return {};
}

}  // namespace acrn
