// The way into the kernel: an ioctl that goes on after a signal, and the error of one that failed.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "acrn/base/concat.h"
#include "acrn/base/result.h"
#include "dm/base/errno_text.h"

namespace acrn {

template <class Argument>
int kvm_ioctl(int fd, unsigned long request, Argument argument) {
  int value;
  do {
    value = ::ioctl(fd, request, argument);
  } while (value < 0 && errno == EINTR);
  return value;
}

inline Error kvm_error(const char* call) {
  return {ErrorKind::kUnavailable, concat("KVM: ", call, ": ", errno_text(errno))};
}

}  // namespace acrn
