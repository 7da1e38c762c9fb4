// OneAtATime: a job that several threads may ask for and one at a time does. Each does it for itself, so none is kept
// by others that go on asking. Any thread.
#pragma once

#include "acrn/base/mutex.h"

namespace acrn {

class OneAtATime {
 public:
  // On return the job has run since the call. The job does not ask for itself again.
  template <class Job>
  void run(Job&& job) {
    MutexLock lock(mutex_);
    job();
  }

 private:
  Mutex mutex_;
};

}  // namespace acrn
