// DeviceEvents: what goes wrong in a device, and what becomes of its disk, for a host that acts on it and does not read
// a log.
#pragma once

#include <cstdint>

namespace acrn {

struct DeviceEvent {
  enum class Kind : uint8_t {
    kGuestError = 1,      // the driver, or its VMM, broke a rule
    kQueueStopped = 2,    // for that, until its driver resets it
    kDiskError = 3,       // the disk failed a request
    kRequestHeld = 4,     // and it is held until it is tried again; told of each
    kRequestOverdue = 5,  // the disk has not carried it out within a time limit
    kResized = 6,         // the disk has another size than before; told of each
  };
  Kind kind;
  const char* name;  // of the rule, or of the operation; "queue"; "disk"
  uint64_t count;    // so often since the start, this one included; of kRequestHeld: how many the queue holds
  uint64_t value;    // what broke the rule; the queue; an errno; of kRequestOverdue: milliseconds; bytes
};

class DeviceEvents {
 public:
  // Errors that are worth telling (acrn/base/log.h). Any thread, also while it is the loop of a queue; takes no lock
  // that is held across a call of the device.
  virtual void tell(const DeviceEvent& event) = 0;

 protected:
  ~DeviceEvents() = default;
};

}  // namespace acrn
