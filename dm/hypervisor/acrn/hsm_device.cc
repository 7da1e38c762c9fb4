#include "dm/hypervisor/acrn/hsm_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr const char* kDevice = "/dev/acrn_hsm";

class HsmFile final : public HsmDevice {
 public:
  explicit HsmFile(UniqueFd fd) : fd_(std::move(fd)) {}
  int call(unsigned long request, uintptr_t argument) override { return ::ioctl(fd_.fd(), request, argument); }

 private:
  UniqueFd fd_;
};

const char* hint(int error) {
  switch (error) {
    case EACCES:
    case EPERM: return "run as root, or give this user access to it";
    case EMFILE:
    case ENFILE: return "raise the limit of open files (ulimit -n)";
    default: return "this has to be the Service VM of ACRN, with a kernel that has CONFIG_ACRN_HSM; else give --hypervisor kvm";
  }
}

}  // namespace

bool has_hsm() { return ::access(kDevice, F_OK) == 0; }

Result<std::unique_ptr<HsmDevice>> open_hsm() {
  UniqueFd fd(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (fd) return std::unique_ptr<HsmDevice>(std::make_unique<HsmFile>(std::move(fd)));
  const int error = errno;
  return Error{ErrorKind::kUnavailable, concat("no usable hypervisor: ", kDevice, ": ", errno_text(error), "; ", hint(error))};
}

}  // namespace acrn
