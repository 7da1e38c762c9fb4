#include "dm/hypervisor/acrn/hsm_device.h"

#include <fcntl.h>
#include <linux/acrn.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr const char* kDevice = "/dev/acrn_hsm";

// ACRN does not destroy a VM that runs, and Linux's module asks for just that when its file is closed: what a device
// model leaves behind that is killed would be there until the Service VM restarts. So a process waits for our end, with
// the same file open, and then pauses the VM first.
class VmReaper {
 public:
  // Without one, an end in good order is as good.
  explicit VmReaper(int hsm) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const UniqueFd theirs(ends[0]);
    ours_ = UniqueFd(ends[1]);
    process_ = ::fork();
    if (process_ == 0) wait_for_end(theirs.fd(), hsm);
  }
  // An end in good order: there is nothing to do.
  ~VmReaper() {
    if (process_ <= 0) return;
    [[maybe_unused]] const ssize_t told = ::write(ours_.fd(), "", 1);
    ours_.reset();
    ::waitpid(process_, nullptr, 0);
  }
  VmReaper(const VmReaper&) = delete;
  VmReaper& operator=(const VmReaper&) = delete;

 private:
  // A copy of one thread of many: nothing but system calls.
  [[noreturn]] static void wait_for_end(int pipe, int hsm) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    ::setsid();
    ::prctl(PR_SET_NAME, "acrn guardian");
    ::dup2(pipe, 0);
    ::dup2(hsm, 1);
    ::close_range(2, ~0u, 0);
    char word;
    if (::read(0, &word, 1) == 0) {
      ::ioctl(1, ACRN_IOCTL_PAUSE_VM, 0);
      ::ioctl(1, ACRN_IOCTL_DESTROY_VM, 0);
    }
    ::_exit(0);
  }

  UniqueFd ours_;  // its closing is our end
  pid_t process_ = -1;
};

class HsmFile final : public HsmDevice {
 public:
  explicit HsmFile(UniqueFd fd) : fd_(std::move(fd)), reaper_(fd_.fd()) {}
  int call(unsigned long request, uintptr_t argument) override { return ::ioctl(fd_.fd(), request, argument); }

 private:
  const UniqueFd fd_;
  const VmReaper reaper_;
};

const char* hint(int error) {
  switch (error) {
    case EACCES:
    case EPERM: return "run as root, or give this user access to it";
    case EMFILE:
    case ENFILE: return "raise the limit of open files (ulimit -n)";
    default:
      return "this has to be the Service VM of ACRN, with a kernel that has CONFIG_ACRN_HSM; else give --hypervisor "
             "kvm";
  }
}

}  // namespace

bool has_hsm() { return ::access(kDevice, F_OK) == 0; }

Result<std::unique_ptr<HsmDevice>> open_hsm() {
  UniqueFd fd(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (fd) return std::unique_ptr<HsmDevice>(std::make_unique<HsmFile>(std::move(fd)));
  const int error = errno;
  return Error{ErrorKind::kUnavailable,
               concat("no usable hypervisor: ", kDevice, ": ", errno_text(error), "; ", hint(error))};
}

}  // namespace acrn
