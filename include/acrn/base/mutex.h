// Mutex, MutexLock and CondVar with clang's thread-safety annotations; clang builds turn a violation into an
// error. docs/concurrency.md lists every mutex of the program with its rank.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define ACRN_TSA(attribute) __attribute__((attribute))
#else
#define ACRN_TSA(attribute)
#endif

#define ACRN_GUARDED_BY(mutex) ACRN_TSA(guarded_by(mutex))
#define ACRN_REQUIRES(mutex) ACRN_TSA(requires_capability(mutex))
#define ACRN_EXCLUDES(mutex) ACRN_TSA(locks_excluded(mutex))

namespace acrn {

class ACRN_TSA(capability("mutex")) Mutex {
 public:
  void lock() ACRN_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() ACRN_TSA(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class ACRN_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACRN_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() ACRN_TSA(release_capability()) {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  // For work that must not be done under the lock: unlock(), do it, lock().
  void unlock() ACRN_TSA(release_capability()) {
    held_ = false;
    mutex_.unlock();
  }
  void lock() ACRN_TSA(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

class CondVar {
 public:
  // Wakes at a notify or spuriously; callers loop over their condition.
  void wait(Mutex& mutex) ACRN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace acrn
