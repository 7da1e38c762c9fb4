// Preloaded into acrn-dm: a Service VM of ACRN, where there is only KVM. /dev/acrn_hsm is there, and is an FakeHsm
// over a KvmHypervisor. HSM_TRACE=<file>: a line for each request to it, "<name> <result>", as they return. HSM_NEWER:
// the module of ACRN's own kernels, not mainline's.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "acrn/base/mutex.h"
#include "tests/support/fake_hsm.h"
#include "tests/support/hsm_request_name.h"
#include "tests/support/kvm_hypervisor.h"

namespace {

using acrn::test::FakeHsm;
using acrn::test::KvmHypervisor;

constexpr const char* kDevice = "/dev/acrn_hsm";

struct Handle {
  Handle() { hypervisor.attach(module); }
  ~Handle() { hypervisor.stop(); }
  KvmHypervisor hypervisor;
  FakeHsm module{hypervisor, {.newer_requests = std::getenv("HSM_NEWER") != nullptr}};
};

// What is open, by the descriptor that stands for it. A call that is under way keeps its handle.
struct Table {
  acrn::Mutex mutex;
  std::map<int, std::shared_ptr<Handle>> handles ACRN_GUARDED_BY(mutex);
};

Table& table() {
  static Table& made = *new Table;  // for the threads that are there until the very end
  return made;
}

std::shared_ptr<Handle> find(int fd) {
  acrn::MutexLock lock(table().mutex);
  const auto found = table().handles.find(fd);
  return found == table().handles.end() ? nullptr : found->second;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

int open_handle(int flags) {
  const int fd = eventfd(0, (flags & O_CLOEXEC) != 0 ? EFD_CLOEXEC : 0);
  if (fd < 0) return -1;
  acrn::MutexLock lock(table().mutex);
  table().handles[fd] = std::make_shared<Handle>();
  return fd;
}

void trace(unsigned long request, int result) {
  static const int file = [] {
    const char* const path = std::getenv("HSM_TRACE");
    return path == nullptr ? -1 : ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  }();
  if (file < 0) return;
  const std::string line = acrn::test::hsm_request_name(request) + ' ' + std::to_string(result) + '\n';
  [[maybe_unused]] const ssize_t written = ::write(file, line.data(), line.size());
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  if (std::strcmp(path, kDevice) == 0) return open_handle(flags);
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  static const auto real = next<int(const char*, int, ...)>("open");
  return real(path, flags, mode);
}

int access(const char* path, int mode) noexcept {
  if (std::strcmp(path, kDevice) == 0) return 0;
  static const auto real = next<int(const char*, int)>("access");
  return real(path, mode);
}

int close(int fd) {
  std::shared_ptr<Handle> closed;
  {
    acrn::MutexLock lock(table().mutex);
    if (const auto found = table().handles.find(fd); found != table().handles.end()) {
      closed = std::move(found->second);
      table().handles.erase(found);
    }
  }
  static const auto real = next<int(int)>("close");
  return real(fd);
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list more;
  va_start(more, request);
  void* const argument = va_arg(more, void*);
  va_end(more);
  if (const auto handle = find(fd)) {
    const int result = handle->module.call(request, reinterpret_cast<uintptr_t>(argument));
    const int error = errno;
    trace(request, result < 0 ? -error : result);
    errno = error;
    return result;
  }
  static const auto real = next<int(int, unsigned long, ...)>("ioctl");
  return real(fd, request, argument);
}

}  // extern "C"
