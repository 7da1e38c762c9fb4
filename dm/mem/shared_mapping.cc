#include "dm/mem/shared_mapping.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <limits>
#include <utility>

#include "acrn/base/mutex.h"

namespace acrn {

struct SharedMapping::Guard {
  std::atomic<uintptr_t> begin{0};  // 0: free, or not to be looked at
  std::atomic<size_t> size{0};      // bytes
  std::atomic<bool> lost{false};
  bool taken = false;               // under guards_mutex
};

namespace {

std::array<SharedMapping::Guard, 8192> guards;
Mutex guards_mutex;  // leaf
struct sigaction next_action;

// Only what a signal handler may: atomics that are lock-free, and system calls.
void handle_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (SharedMapping::Guard& guard : guards) {
    const uintptr_t begin = guard.begin.load();
    const size_t size = guard.size.load();
    if (begin == 0 || address < begin || address - begin >= size) continue;
    // The guard of a mapping that goes just now may get another one's size.
    if (guard.begin.load() != begin) continue;
    guard.lost = true;
    // The whole of it, since nobody knows which pages are still there and how large they are.
    void* const whole = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
    if (::mmap(whole, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == whole) {
      errno = saved_errno;
      return;
    }
  }
  // Not ours: as if we had not been here.
  if ((next_action.sa_flags & SA_SIGINFO) != 0) return next_action.sa_sigaction(signal, info, context);
  ::sigaction(signal, &next_action, nullptr);
}

bool catch_bus_errors() {
  struct sigaction action {};
  action.sa_sigaction = handle_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return ::sigaction(SIGBUS, &action, &next_action) == 0;
}

SharedMapping::Guard* take_guard() {
  MutexLock lock(guards_mutex);
  for (SharedMapping::Guard& guard : guards) {
    if (!std::exchange(guard.taken, true)) return &guard;
  }
  return nullptr;
}

// The size of its pages; 0: no plain memory or file, or it ends before `end`.
uint64_t page_of_plain_memory(int fd, uint64_t end) {
  constexpr uint64_t kPage = 4096;
  struct stat status;
  struct statfs system;
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || ::fstatfs(fd, &system) != 0) return 0;
  // A page of a FUSE file comes when its owner pleases.
  if (system.f_type == FUSE_SUPER_MAGIC || end > static_cast<uint64_t>(status.st_size)) return 0;
  return system.f_type == HUGETLBFS_MAGIC ? static_cast<uint64_t>(system.f_bsize) : kPage;
}

}  // namespace

std::unique_ptr<SharedMapping> SharedMapping::create(int fd, uint64_t offset, uint64_t size, int& error) {
  static const bool caught = catch_bus_errors();
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  error = EINVAL;
  if (!caught || size == 0 || size > kMost || offset > kMost - size) return nullptr;
  const uint64_t page = page_of_plain_memory(fd, offset + size);
  if (page == 0) return nullptr;
  Guard* const guard = take_guard();
  if (guard == nullptr) {
    error = ENOSPC;
    return nullptr;
  }
  // Whole pages: a part of a huge one can be neither unmapped nor replaced.
  const uint64_t before = offset % page, whole = (before + size + page - 1) / page * page;
  void* const address = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                               static_cast<off_t>(offset - before));
  error = errno;
  if (address == MAP_FAILED) {
    MutexLock lock(guards_mutex);
    guard->taken = false;
    return nullptr;
  }
  guard->lost = false;
  guard->size = whole;
  guard->begin = reinterpret_cast<uintptr_t>(address);
  error = 0;
  return std::unique_ptr<SharedMapping>(new SharedMapping(static_cast<std::byte*>(address) + before, *guard));
}

SharedMapping::~SharedMapping() {
  void* const whole = reinterpret_cast<void*>(guard_.begin.exchange(0));  // NOLINT(performance-no-int-to-ptr)
  ::munmap(whole, guard_.size);
  MutexLock lock(guards_mutex);
  guard_.taken = false;
}

bool SharedMapping::lost() const { return guard_.lost; }

}  // namespace acrn
