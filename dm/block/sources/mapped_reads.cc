#include "dm/block/sources/mapped_reads.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace acrn {
namespace {

// Four are enough for the processor to see a stream: from 1.3 to 2.0 million reads of 4 KiB a second at depth 16.
constexpr size_t kPrefetchedLines = 4, kCacheLine = 64;  // bytes

bool is_local(int fd) {
  struct statfs system {};
  if (::fstatfs(fd, &system) != 0) return false;
  switch (static_cast<uint32_t>(system.f_type)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC: return true;
    default: return false;
  }
}

// mincore() calls every page present for those who may not write the file and do not own it.
bool may_ask(int fd) {
  struct stat status {};
  return ::geteuid() == 0 || (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR ||
         (::fstat(fd, &status) == 0 && status.st_uid == ::geteuid());
}

// Whether the calling thread has waited for a page since it last asked.
bool has_waited() {
  static thread_local long before = 0;
  struct rusage usage {};
  return ::getrusage(RUSAGE_THREAD, &usage) == 0 && usage.ru_majflt != std::exchange(before, usage.ru_majflt);
}

}  // namespace

std::string MappedReads::unsuited(int fd, bool block_device) {
  if (!block_device && !is_local(fd)) return "its file system is none of ext4, XFS, Btrfs, F2FS and tmpfs";
  if (!may_ask(fd)) return "the host tells only its owner what is in memory";
  return "";
}

MappedReads::MappedReads(int fd, bool block_device, uint64_t size)
    : fd_(fd),
      block_device_(block_device),
      size_(std::min(size, kMost)),
      made_((size_ + kWindow - 1) / kWindow),
      windows_(made_.size()) {}

bool MappedReads::read(std::span<const iovec> iov, uint64_t offset, uint64_t length, LapTimer& timer) {
  if (offset >= size_) return false;
  // Acquire pairs with the release in make_window().
  Window* const window = windows_[offset / kWindow].load(std::memory_order_acquire);
  const uint64_t begin = offset % kWindow;
  if (window == nullptr || !knows(*window, begin, length)) return false;
  const std::byte* from = window->mapping->data() + begin;
  for (const iovec& piece : iov) {
    std::memcpy(piece.iov_base, from, piece.iov_len);
    from += piece.iov_len;
  }
  if (window->mapping->lost()) return false;
  // The page that a shortened file ends in goes on with zeroes.
  if (from[-1] == std::byte{0} && !block_device_ && !still_holds(offset + length)) return false;
  if (timer.lap() > kSlow * (1 + length / kSlowBytes) && has_waited()) forget(*window, timer.last());
  return true;
}

// To where the processor goes on by itself. What it does not find mapped it leaves alone.
void MappedReads::prefetch(uint64_t offset, uint64_t length) const {
  if (offset >= size_ || length == 0) return;
  const Window* const window = windows_[offset / kWindow].load(std::memory_order_acquire);
  if (window == nullptr || offset % kWindow >= window->size) return;
  const std::byte* const from = window->mapping->data() + offset % kWindow;
  for (size_t line = 0; line < kPrefetchedLines; line++) __builtin_prefetch(from + line * kCacheLine);
}

bool MappedReads::still_holds(uint64_t end) const {
  struct stat status {};
  return ::fstat(fd_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= end;
}

bool MappedReads::knows(const Window& window, uint64_t offset, uint64_t length) {
  if (offset >= window.size || length > window.size - offset) return false;
  const uint64_t last = (offset + length - 1) / kPage;
  for (uint64_t page = offset / kPage; page <= last; page = (page / kPagesPerWord + 1) * kPagesPerWord) {
    const uint64_t count = std::min(last - page + 1, kPagesPerWord - page % kPagesPerWord);
    const uint64_t bits = (~uint64_t{0} >> (kPagesPerWord - count)) << page % kPagesPerWord;
    if ((window.words[page / kPagesPerWord].load(std::memory_order_relaxed) & bits) != bits) return false;
  }
  return true;
}

void MappedReads::note_read(uint64_t offset, uint64_t length) {
  if (offset >= size_ || length == 0) return;
  Window* window = windows_[offset / kWindow].load(std::memory_order_acquire);
  if (window == nullptr) window = make_window(offset / kWindow);
  offset %= kWindow;
  if (offset >= window->size || length > window->size - offset || window->mapping->lost()) return;
  const auto now = Clock::now();
  if (now.time_since_epoch().count() < window->quiet_until.load(std::memory_order_relaxed)) return;
  look(*window, offset, length);
  // A hole of a tmpfs has no page, and has been read all the same.
  if (!knows(*window, offset, length)) {
    window->quiet_until.store((now + kShortestPause).time_since_epoch().count(), std::memory_order_relaxed);
  }
}

// Asks the host about whole words around them.
void MappedReads::look(Window& window, uint64_t offset, uint64_t length) {
  std::array<unsigned char, kPagesPerWord> present{};
  for (uint64_t begin = offset / kWordBytes * kWordBytes; begin < offset + length; begin += kWordBytes) {
    const uint64_t size = std::min(kWordBytes, window.size - begin);
    if (::mincore(window.mapping->data() + begin, size, present.data()) != 0) return;
    uint64_t bits = 0;
    for (size_t i = 0; i * kPage < size; i++) bits |= uint64_t{present[i] & 1u} << i;
    window.words[begin / kWordBytes].fetch_or(bits, std::memory_order_relaxed);
  }
}

// Pages of it are being taken away, and nobody says which.
void MappedReads::forget(Window& window, Clock::time_point now) {
  constexpr Clock::rep kShortest = Clock::duration(kShortestPause).count(),
                       kLongest = Clock::duration(kLongestPause).count();
  const auto at = now.time_since_epoch().count();
  const Clock::rep last = window.pause.load(std::memory_order_relaxed);
  // After ten times the last pause without such a copy, that one is forgotten too.
  const bool again = at < window.quiet_until.load(std::memory_order_relaxed) + 10 * last;
  const Clock::rep pause = again ? std::min(2 * last, kLongest) : kShortest;
  window.pause.store(pause, std::memory_order_relaxed);
  window.quiet_until.store(at + pause, std::memory_order_relaxed);
  for (std::atomic<uint64_t>& word : window.words) word.store(0, std::memory_order_relaxed);
}

MappedReads::Window* MappedReads::make_window(uint64_t index) {
  MutexLock lock(making_);
  std::unique_ptr<Window>& made = made_[index];
  if (made != nullptr) return made.get();
  made = std::make_unique<Window>();
  const uint64_t begin = index * kWindow, size = std::min(kWindow, size_ - begin);
  int error = 0;
  made->mapping = SharedMapping::create_for_reading(fd_, begin, size, error);
  if (made->mapping != nullptr) {
    made->size = size;
    // A fault that waits after all reads one page, and nothing ahead of it.
    ::madvise(made->mapping->data(), size, MADV_RANDOM);
    ::madvise(made->mapping->data(), size, MADV_DONTDUMP);
  }
  windows_[index].store(made.get(), std::memory_order_release);
  return made.get();
}

}  // namespace acrn
