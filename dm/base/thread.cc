#include "dm/base/thread.h"

#include <sched.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {

Result<void> Thread::start(const std::string& name, std::function<void()> body) {
  ACRN_CHECK(!joinable_);
  body_ = std::move(body);
  joinable_ = true;  // before the thread can look at it
  if (const int error = pthread_create(&handle_, nullptr, &Thread::main, this); error != 0) {
    joinable_ = false;
    return Error{ErrorKind::kInternal, concat("thread ", name, ": ", errno_text(error))};
  }
  pthread_setname_np(handle_, name.substr(0, 15).c_str());
  return {};
}

void* Thread::main(void* self) {
  static_cast<Thread*>(self)->body_();
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
