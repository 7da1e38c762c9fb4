#include "dm/block/sources/mapped_reads.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
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

// To those who may neither write the file nor own it mincore() says that every page is in memory; so it does of one
// behind the file's end, which never is.
bool may_ask(int fd) {
  const off_t end = ::lseek(fd, 0, SEEK_END);
  if (end < 0) return false;
  const uint64_t behind = round_up(static_cast<uint64_t>(end), kPageBytes);
  void* const page = ::mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(behind));
  if (page == MAP_FAILED) return false;
  unsigned char present = 1;
  const bool told = ::mincore(page, kPageBytes, &present) == 0 && (present & 1) == 0;
  ::munmap(page, kPageBytes);
  return told;
}

// Whether the calling thread has waited for a page since it last asked; the first time it cannot tell.
bool has_waited() {
  static thread_local long before = -1;
  struct rusage usage {};
  if (::getrusage(RUSAGE_THREAD, &usage) != 0) return false;
  const long last = std::exchange(before, usage.ru_majflt);
  return last >= 0 && usage.ru_majflt != last;
}

}  // namespace

std::string MappedReads::unsuited(int fd, bool block_device) {
  if (!block_device && !is_local(fd)) return "its file system is none of ext4, XFS, Btrfs, F2FS and tmpfs";
  if (!may_ask(fd)) return "the host tells only its owner what is in memory";
  return "";
}

MappedReads::MappedReads(int fd, bool block_device, bool holes_stay, uint64_t size)
    : fd_(fd),
      block_device_(block_device),
      holes_stay_(holes_stay),
      size_(std::min(size, kMost)),
      made_((size_ + kWindow - 1) / kWindow),
      windows_(made_.size()) {}

// Acquire pairs with the release in make_window().
MappedReads::Window* MappedReads::find_window(uint64_t offset) const {
  return offset < size_ ? windows_[offset / kWindow].load(std::memory_order_acquire) : nullptr;
}

bool MappedReads::read(std::span<const iovec> iov, uint64_t offset, uint64_t length, Access access, LapTimer& timer) {
  const Window* const window = find_window(offset);
  return window != nullptr && knows(*window, offset % kWindow, length) &&
         copy(*window, iov, offset, length, access, timer);
}

bool MappedReads::copy(const Window& window, std::span<const iovec> iov, uint64_t offset, uint64_t length,
                       Access access, LapTimer& timer) {
  const SharedMapping& mapping = window.mapping(access);
  if (mapping.lost()) return false;
  const std::byte* from = mapping.data() + offset % kWindow;
  for (const iovec& piece : iov) {
    std::memcpy(piece.iov_base, from, piece.iov_len);
    from += piece.iov_len;
  }
  if (mapping.lost()) return false;
  // The page that a shortened file ends in goes on with zeroes.
  if (from[-1] == std::byte{0} && !block_device_ && !still_holds(offset + length)) return false;
  if (timer.lap() > kSlow * (1 + length / kSlowBytes) && has_waited()) start_anew(timer.last());
  return true;
}

MappedReads::Asked MappedReads::ask_and_read(std::span<const iovec> iov, uint64_t offset, uint64_t length,
                                             Access access, LapTimer& timer) {
  Window* const window = use_window(offset, length, access);
  if (window == nullptr) return Asked::kUnknown;
  if (!all_in_memory(*window, offset % kWindow, length, access)) return Asked::kMissing;
  if (!copy(*window, iov, offset, length, access, timer)) return Asked::kUnknown;
  if (may_learn(*window)) learn(*window, offset % kWindow, length, access);
  return Asked::kRead;
}

// To where the processor goes on by itself. What it does not find mapped it leaves alone.
void MappedReads::prefetch(uint64_t offset, Access access) const {
  const Window* const window = find_window(offset);
  if (window == nullptr || offset % kWindow >= window->size) return;
  const std::byte* const from = window->mapping(access).data() + offset % kWindow;
  for (size_t line = 0; line < kPrefetchedLines; line++) __builtin_prefetch(from + line * kCacheLine);
}

bool MappedReads::still_holds(uint64_t end) const {
  struct stat status {};
  return ::fstat(fd_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= end;
}

// Calls body(word, bits) for the pages of [begin, end), which is not empty, until it is false.
template <class Body>
bool MappedReads::all_words(uint64_t begin, uint64_t end, Body body) {
  const uint64_t last = (end - 1) / kPageBytes;
  for (uint64_t page = begin / kPageBytes; page <= last; page = (page / kPagesPerWord + 1) * kPagesPerWord) {
    const uint64_t count = std::min(last - page + 1, kPagesPerWord - page % kPagesPerWord);
    const uint64_t bits = (~uint64_t{0} >> (kPagesPerWord - count)) << page % kPagesPerWord;
    if (!body(page / kPagesPerWord, bits)) return false;
  }
  return true;
}

bool MappedReads::knows(const Window& window, uint64_t offset, uint64_t length) const {
  if (length == 0 || !window.holds(offset, length)) return false;
  if (window.epoch.load(std::memory_order_relaxed) != epoch_.load(std::memory_order_relaxed)) return false;
  return all_words(offset, offset + length, [&](uint64_t word, uint64_t bits) {
    return (window.words[word].load(std::memory_order_relaxed) & bits) == bits;
  });
}

void MappedReads::forget(uint64_t begin, uint64_t end) {
  for (end = std::min(end, size_); begin < end;) {
    const uint64_t base = begin / kWindow * kWindow, until = std::min(end, base + kWindow);
    if (Window* const window = find_window(begin); window != nullptr) {
      all_words(begin - base, until - base, [&](uint64_t word, uint64_t bits) {
        window->words[word].fetch_and(~bits, std::memory_order_relaxed);
        return true;
      });
    }
    begin = until;
  }
}

// Makes the window of `offset` if there is none. Null: these bytes cannot be read by a mapping.
MappedReads::Window* MappedReads::use_window(uint64_t offset, uint64_t length, Access access) {
  if (offset >= size_ || length == 0) return nullptr;
  Window* window = find_window(offset);
  if (window == nullptr) window = make_window(offset / kWindow);
  return window->holds(offset % kWindow, length) && !window->mapping(access).lost() ? window : nullptr;
}

// False: it is not the time to. Otherwise nothing is known of the window that may be out of date.
bool MappedReads::may_learn(Window& window) const {
  if (is_quiet(Clock::now())) return false;
  const unsigned epoch = epoch_.load(std::memory_order_relaxed);
  if (window.epoch.load(std::memory_order_relaxed) == epoch) return true;
  for (std::atomic<uint64_t>& word : window.words) word.store(0, std::memory_order_relaxed);
  window.epoch.store(epoch, std::memory_order_relaxed);
  return true;
}

// Which of these pages, one after the other, are in memory.
std::optional<uint64_t> MappedReads::ask(const Window& window, uint64_t word, uint64_t pages, Access access) {
  const auto first = static_cast<unsigned>(std::countr_zero(pages));
  const uint64_t begin = word * kWordBytes + first * kPageBytes;
  const uint64_t size = std::min(static_cast<uint64_t>(std::popcount(pages)) * kPageBytes, window.size - begin);
  std::array<unsigned char, kPagesPerWord> present{};
  if (::mincore(window.mapping(access).data() + begin, size, present.data()) != 0) return std::nullopt;
  uint64_t found = 0;
  for (unsigned i = 0; i * kPageBytes < size; i++) found |= uint64_t{present[i] & 1u} << (first + i);
  return found;
}

bool MappedReads::all_in_memory(const Window& window, uint64_t offset, uint64_t length, Access access) {
  return all_words(offset, offset + length,
                   [&](uint64_t word, uint64_t pages) { return ask(window, word, pages, access) == pages; });
}

// Of these bytes, and of what is around them.
void MappedReads::learn(Window& window, uint64_t offset, uint64_t length, Access access) {
  const uint64_t begin = round_down(offset, kAroundBytes), end = round_up(offset + length, kAroundBytes);
  all_words(begin, std::min(end, window.size), [&](uint64_t word, uint64_t pages) {
    window.words[word].fetch_or(ask(window, word, pages, access).value_or(0), std::memory_order_relaxed);
    return true;
  });
}

void MappedReads::note_read(uint64_t offset, uint64_t length) {
  Window* const window = use_window(offset, length, Access::kRandom);
  if (window == nullptr || !may_learn(*window)) return;
  offset %= kWindow;
  if (holes_stay_) {
    learn(*window, offset, length, Access::kRandom);
    if (knows(*window, offset, length)) return;
    const auto until = Clock::now() + kShortestPause;
    return quiet_until_.store(until.time_since_epoch().count(), std::memory_order_relaxed);
  }
  all_words(offset, offset + length, [&](uint64_t word, uint64_t pages) {
    window->words[word].fetch_or(pages, std::memory_order_relaxed);
    return true;
  });
}

bool MappedReads::is_quiet(Clock::time_point now) const {
  return now.time_since_epoch().count() < quiet_until_.load(std::memory_order_relaxed);
}

// Pages are being taken away, and nobody says which.
void MappedReads::start_anew(Clock::time_point now) {
  constexpr Clock::rep kShortest = Clock::duration(kShortestPause).count(),
                       kLongest = Clock::duration(kLongestPause).count();
  const auto at = now.time_since_epoch().count();
  const Clock::rep last = pause_.load(std::memory_order_relaxed);
  // After ten times the last pause without such a copy, that one is forgotten too.
  const bool again = at < quiet_until_.load(std::memory_order_relaxed) + 10 * last;
  const Clock::rep pause = again ? std::clamp(2 * last, kShortest, kLongest) : kShortest;
  pause_.store(pause, std::memory_order_relaxed);
  quiet_until_.store(at + pause, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_relaxed);
}

MappedReads::Window* MappedReads::make_window(uint64_t index) {
  MutexLock lock(making_);
  std::unique_ptr<Window>& made = made_[index];
  if (made != nullptr) return made.get();
  made = std::make_unique<Window>();
  const uint64_t begin = index * kWindow, size = std::min(kWindow, size_ - begin);
  // Once more: this process may have given up rights since the file was opened.
  int error = may_ask(fd_) ? 0 : EPERM;
  for (auto& mapping : made->mappings) {
    if (error == 0) mapping = SharedMapping::create_for_reading(fd_, begin, size, error);
  }
  if (error == 0) {
    ::madvise(made->mapping(Access::kRandom).data(), size, MADV_RANDOM);
    made->size = size;
  }
  windows_[index].store(made.get(), std::memory_order_release);
  return made.get();
}

}  // namespace acrn
