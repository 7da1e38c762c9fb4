// Thread: a thread whose start can fail, which std::thread only tells by an exception. Joined before its end.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "acrn/base/check.h"
#include "acrn/base/result.h"

namespace acrn {

// While it lives, this thread blocks all signals but those of a crash and that of run_on_every_thread(), and threads
// that it starts do so for good.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

class Thread {
 public:
  Thread() = default;
  ~Thread() { ACRN_CHECK(!joinable_); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  // What a new thread takes over. kStarter: signal mask, host CPUs and scheduling of the thread that starts it.
  // kProcess, for one that any thread may start: CPUs and scheduling of the process's first thread, and from its first
  // instruction it blocks all signals but those of a crash, which are the thread's own.
  enum class Inherit : uint8_t { kStarter, kProcess };

  // What it is there for, as far as that decides which system calls it makes (dm/sandbox). kControl: whatever is none
  // of the others. kLink: makes connections to the server of a disk.
  enum class Kind : uint8_t { kControl, kQueue, kVcpu, kWorker, kLink };

  // `name` names it; 15 characters are shown.
  Result<void> start(const std::string& name, std::function<void()> body, Inherit inherit = Inherit::kStarter,
                     Kind kind = Kind::kControl);
  // Of the thread that asks; kControl for one that is none of ours. Async-signal-safe.
  static Kind current_kind();
  // Each thread that starts from now on calls it before its body.
  static void set_start_hook(void (*hook)()) { start_hook_.store(hook, std::memory_order_release); }
  // Host CPUs to run on. False, with errno: they cannot be used.
  bool pin(const std::vector<unsigned>& cpus);
  void kill(int signal) { pthread_kill(handle_, signal); }
  void join();  // a thread that was never started: nothing
  bool joinable() const { return joinable_; }

 private:
  static void* main(void* self);

  static inline std::atomic<void (*)()> start_hook_{nullptr};  // release and acquire: what it uses is there

  std::string name_;
  Kind kind_ = Kind::kControl;
  std::function<void()> body_;
  pthread_t handle_{};
  bool joinable_ = false;
};

}  // namespace acrn
