// HsmDevice: the way into ACRN's kernel module (/dev/acrn_hsm, <linux/acrn.h>). One open device is one VM. Tests put a
// stand-in behind it.
#pragma once

#include <cstdint>
#include <memory>

#include "acrn/base/result.h"

namespace acrn {

class HsmDevice {
 public:
  virtual ~HsmDevice() = default;  // the VM ends with it
  // As ioctl(2): -1 with errno, EINTR among them. `argument`: a pointer or a value, as the request wants. Any thread,
  // several at a time.
  virtual int call(unsigned long request, uintptr_t argument) = 0;
};

bool has_hsm();

// ErrorKind::kUnavailable: there is none here, or it is not for us.
Result<std::unique_ptr<HsmDevice>> open_hsm();

}  // namespace acrn
