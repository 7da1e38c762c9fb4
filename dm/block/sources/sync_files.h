// SyncFiles: how what is written to an opened file or block device comes to be on its medium. Linux tells each open
// file description once that data was lost on the way there, so two requests that share one can take each other's
// error. Here each stable write has one that nobody else uses meanwhile, and flushes have `fd` (docs/adr/0040). Any
// thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"

namespace acrn {

class SyncFiles {
 public:
  static constexpr size_t kWriters = 8;  // at a time; more wait for each other

  // `fd` stays open as long as this lives; nobody else syncs by it. `apart`: its file is opened again for each stable
  // write at a time; where that is refused they share `fd`, too.
  SyncFiles(int fd, bool apart);

  // Returns what write(descriptor) does, the errno of a write that syncs, or 0. Its descriptor has been told of all
  // that was lost earlier.
  template <class Write>
  int write(Write&& write) {
    const size_t writer = take_writer();
    if (writer == kWriters) return write(fd_);
    const int error = write(writers_[writer].fd());
    give_back(writer);
    return error;
  }

  // 0 when all that was written before is on the medium; or an errno, and EIO ever after: nobody knows what was lost.
  // Calls at the same time share a call of the kernel.
  int flush();
  // The same for who calls the kernel itself: passes on the errno (or 0) that syncing `fd` has returned.
  int note_flush(int error);
  // The same for a write that was synced so. It is at stake in what was lost since it began, when there were so many
  // losses().
  int note_synced_write(int error, unsigned losses_before);
  unsigned losses();

 private:
  size_t take_writer();  // kWriters: there are none
  void give_back(size_t writer);
  void note(int error) ACRN_REQUIRES(mutex_);

  const int fd_;
  std::array<UniqueFd, kWriters> writers_;  // none: they share fd_
  Mutex mutex_;                             // leaf
  CondVar changed_;
  uint32_t free_writers_ ACRN_GUARDED_BY(mutex_) = 0;  // a bit for each
  bool flushing_ ACRN_GUARDED_BY(mutex_) = false;
  uint64_t asked_ ACRN_GUARDED_BY(mutex_) = 0, covered_ ACRN_GUARDED_BY(mutex_) = 0;  // flushes
  unsigned losses_ ACRN_GUARDED_BY(mutex_) = 0;                                       // errors that were told
  int lost_ ACRN_GUARDED_BY(mutex_) = 0;                                              // the errno that told of it
};

}  // namespace acrn
