#include "dm/base/thread.h"

#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/every_thread.h"

namespace acrn {
namespace {

thread_local Thread::Kind kind_of_this_thread = Thread::Kind::kControl;

int create_with_signals_blocked(pthread_t& handle, void* (*main)(void*), void* argument) {
  const SignalsBlocked blocked;
  return pthread_create(&handle, nullptr, main, argument);
}

// Where the host does not allow it, the thread goes on as its starter does.
void place_as_process(pthread_t handle) {
  const pid_t process = getpid();  // the id of its first thread, too
  cpu_set_t cpus;
  if (sched_getaffinity(process, sizeof(cpus), &cpus) == 0) pthread_setaffinity_np(handle, sizeof(cpus), &cpus);
  sched_param parameters{};
  const int policy = sched_getscheduler(process);
  if (policy >= 0 && sched_getparam(process, &parameters) == 0) pthread_setschedparam(handle, policy, &parameters);
}

}  // namespace

SignalsBlocked::SignalsBlocked() {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int crash : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) sigdelset(&blocked, crash);
  if (const int ours = every_thread_signal(); ours != 0) sigdelset(&blocked, ours);
  pthread_sigmask(SIG_SETMASK, &blocked, &before_);
}

SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Result<void> Thread::start(const std::string& name, std::function<void()> body, Inherit inherit, Kind kind) {
  ACRN_CHECK(!joinable_);
  name_ = name.substr(0, 15);
  kind_ = kind;
  body_ = std::move(body);
  joinable_ = true;  // before the thread can look at it
  const int error = inherit == Inherit::kProcess ? create_with_signals_blocked(handle_, &Thread::main, this)
                                                 : pthread_create(&handle_, nullptr, &Thread::main, this);
  if (error != 0) {
    joinable_ = false;
    return Error{ErrorKind::kInternal, concat("thread ", name, ": ", errno_text(error))};
  }
  if (inherit == Inherit::kProcess) place_as_process(handle_);
  return {};
}

Thread::Kind Thread::current_kind() { return kind_of_this_thread; }

void* Thread::main(void* self) {
  Thread& thread = *static_cast<Thread*>(self);
  // By itself: the name of another thread is a file of /proc.
  ::prctl(PR_SET_NAME, thread.name_.c_str());
  kind_of_this_thread = thread.kind_;
  if (void (*const hook)() = start_hook_.load(std::memory_order_acquire); hook != nullptr) hook();
  thread.body_();
  return nullptr;
}

bool Thread::pin(const std::vector<unsigned>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned cpu : cpus) CPU_SET(cpu, &set);
  errno = pthread_setaffinity_np(handle_, sizeof(set), &set);
  return errno == 0;
}

void Thread::join() {
  if (!joinable_) return;
  pthread_join(handle_, nullptr);
  joinable_ = false;
}

}  // namespace acrn
