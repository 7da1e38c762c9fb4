// A request to the kernel module that goes on after a signal, and the error of one that failed.
#pragma once

#include <linux/acrn.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "acrn/base/address.h"
#include "acrn/base/concat.h"
#include "acrn/base/result.h"
#include "dm/base/errno_text.h"
#include "dm/hypervisor/acrn/hsm_device.h"

namespace acrn {

// -1 with errno, or what the module returned.
inline int hsm_call(HsmDevice& hsm, unsigned long request, uintptr_t argument = 0) {
  constexpr unsigned kPatience = 100;  // a module that is interrupted for ever is one that fails
  int value;
  unsigned tries = 0;
  do {
    value = hsm.call(request, argument);
  } while (value < 0 && errno == EINTR && ++tries < kPatience);
  return value;
}

template <class Structure>
int hsm_call(HsmDevice& hsm, unsigned long request, Structure* argument) {
  return hsm_call(hsm, request, address_of(argument));
}

inline Error hsm_error(const char* call) {
  return {ErrorKind::kUnavailable, concat("ACRN: ", call, ": ", errno_text(errno))};
}

}  // namespace acrn
