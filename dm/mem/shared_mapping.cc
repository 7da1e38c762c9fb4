#include "dm/mem/shared_mapping.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "acrn/base/address.h"
#include "acrn/base/mutex.h"

namespace acrn {

// A mapping in whole pages of its file, huge ones too.
struct SharedMapping::Guard {
  std::atomic<uintptr_t> begin{0};  // 0: free, or not to be looked at
  std::atomic<size_t> size{0};      // bytes
  std::atomic<bool> lost{false};
  bool taken = false;  // under guards_mutex
};

namespace {

std::array<SharedMapping::Guard, 32768> guards;
Mutex guards_mutex;  // leaf

constexpr unsigned kMostKeptFiles = 512;  // of all that others grant: descriptors are needed for other things, too
std::atomic<unsigned> kept_files{0};

SharedMapping::Guard* take_guard() {
  MutexLock lock(guards_mutex);
  for (SharedMapping::Guard& guard : guards) {
    if (!std::exchange(guard.taken, true)) return &guard;
  }
  return nullptr;
}

// The size of the pages that the file is mapped in; 0: it is no plain memory, or ends before `end`. A page of a FUSE
// file comes when its owner pleases.
uint64_t page_size(int fd, uint64_t end) {
  struct stat status;
  struct statfs system;
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || ::fstatfs(fd, &system) != 0) return 0;
  if (system.f_type == FUSE_SUPER_MAGIC || end > static_cast<uint64_t>(status.st_size)) return 0;
  return system.f_type == HUGETLBFS_MAGIC ? static_cast<uint64_t>(system.f_bsize) : 4096;
}

}  // namespace

bool SharedMapping::recover(const void* fault) {
  const auto address = address_of(fault);
  for (Guard& guard : guards) {
    const uintptr_t begin = guard.begin.load();
    const size_t size = guard.size.load();
    // Once more: the entry may have been given to another mapping between the two loads.
    if (begin == 0 || address < begin || address - begin >= size || guard.begin.load() != begin) continue;
    guard.lost = true;
    // The whole of it: nobody knows which pages are still there.
    // SAFETY: create() has made the number of the mapping's address.
    void* const whole = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
    return ::mmap(whole, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                  0) == whole;
  }
  return false;
}

std::unique_ptr<SharedMapping> SharedMapping::create(int fd, uint64_t offset, uint64_t size, int& error) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  error = EINVAL;
  if (size == 0 || size > kMost || offset > kMost - size) return nullptr;
  const uint64_t page = page_size(fd, offset + size);
  if (page == 0) return nullptr;
  // Whole pages: a part of a huge one can be neither unmapped nor replaced.
  const uint64_t begin = offset / page * page, whole = (offset + size + page - 1) / page * page - begin;
  auto made = map(fd, begin, whole, PROT_READ | PROT_WRITE, offset - begin, error);
  if (made == nullptr) return nullptr;
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals == -1 || (seals & F_SEAL_SHRINK) == 0) return made;
  if (kept_files++ < kMostKeptFiles) made->file_ = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!made->file_) kept_files--;
  made->offset_ = offset;
  return made;
}

MemoryRegion SharedMapping::region(const std::shared_ptr<const SharedMapping>& mapping, Gpa base, uint64_t size) {
  return {base, size, mapping->data(), mapping, mapping->file_.fd(), mapping->offset_};
}

std::unique_ptr<SharedMapping> SharedMapping::create_for_reading(int fd, uint64_t offset, uint64_t size, int& error) {
  return map(fd, offset, size, PROT_READ, 0, error);
}

std::unique_ptr<SharedMapping> SharedMapping::map(int fd, uint64_t begin, uint64_t whole, int protection,
                                                  uint64_t skipped, int& error) {
  Guard* const guard = take_guard();
  if (guard == nullptr) {
    error = ENOSPC;
    return nullptr;
  }
  void* const address = ::mmap(nullptr, whole, protection, MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(begin));
  error = errno;
  if (address == MAP_FAILED) {
    MutexLock lock(guards_mutex);
    guard->taken = false;
    return nullptr;
  }
  ::madvise(address, whole, MADV_DONTDUMP);  // what a guest or a disk keeps is in no core file
  guard->lost = false;
  guard->size = whole;
  guard->begin = address_of(address);
  error = 0;
  return std::unique_ptr<SharedMapping>(new SharedMapping(static_cast<std::byte*>(address) + skipped, *guard));
}

SharedMapping::~SharedMapping() {
  if (file_) kept_files--;
  const uintptr_t begin = guard_.begin.exchange(0);
  // SAFETY: as above.
  ::munmap(reinterpret_cast<void*>(begin), guard_.size);  // NOLINT(performance-no-int-to-ptr)
  MutexLock lock(guards_mutex);
  guard_.taken = false;
}

bool SharedMapping::lost() const { return guard_.lost; }

}  // namespace acrn
