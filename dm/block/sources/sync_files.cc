#include "dm/block/sources/sync_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <string>

#include "acrn/base/concat.h"
#include "acrn/base/round.h"

namespace acrn {
namespace {

// Where no file has bytes.
constexpr off_t kNowhere = INT64_MAX - 2 * static_cast<off_t>(kPageBytes) + 1;

// A description of its own for the same file.
UniqueFd open_again(int fd) { return UniqueFd(::open(concat("/proc/self/fd/", fd).c_str(), O_RDWR | O_CLOEXEC)); }

int sync_data(int fd) {
  while (::fdatasync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

SyncFiles::SyncFiles(int fd, bool apart) : fd_(fd) {
  if (!apart) return;
  std::array<UniqueFd, kWriters> writers;
  for (UniqueFd& writer : writers) {
    writer = open_again(fd);
    if (!writer) return;
  }
  writers_ = std::move(writers);
  free_writers_ = (1u << kWriters) - 1;
}

size_t SyncFiles::take_writer() {
  if (!writers_.front()) return kWriters;
  size_t writer = 0;
  {
    MutexLock lock(mutex_);
    while (free_writers_ == 0) changed_.wait(mutex_);
    writer = static_cast<size_t>(std::countr_zero(free_writers_));
    free_writers_ &= ~(1u << writer);
  }
  // What others were told since it was used last: to wait for no page at all is enough for that.
  ::sync_file_range(writers_[writer].fd(), kNowhere, kPageBytes, SYNC_FILE_RANGE_WAIT_BEFORE);
  return writer;
}

void SyncFiles::give_back(size_t writer) {
  {
    MutexLock lock(mutex_);
    free_writers_ |= 1u << writer;
  }
  changed_.notify_all();
}

int SyncFiles::flush() {
  MutexLock lock(mutex_);
  if (lost_ != 0) return EIO;
  const uint64_t ours = ++asked_;
  while (covered_ < ours && lost_ == 0) {
    if (flushing_) {
      changed_.wait(mutex_);
      continue;
    }
    flushing_ = true;
    const uint64_t covers = asked_;
    lock.unlock();
    const int error = sync_data(fd_);
    lock.lock();
    flushing_ = false;
    covered_ = covers;
    note(error);
    changed_.notify_all();
  }
  return lost_;
}

int SyncFiles::note_flush(int error) {
  MutexLock lock(mutex_);
  note(error);
  return error != 0 ? error : lost_ != 0 ? EIO : 0;
}

int SyncFiles::note_synced_write(int error, unsigned losses_before) {
  MutexLock lock(mutex_);
  note(error);
  return error != 0 ? error : losses_ != losses_before ? EIO : 0;
}

unsigned SyncFiles::losses() {
  MutexLock lock(mutex_);
  return losses_;
}

void SyncFiles::note(int error) {
  if (error == 0) return;
  losses_++;
  if (lost_ == 0) lost_ = error;
}

}  // namespace acrn
