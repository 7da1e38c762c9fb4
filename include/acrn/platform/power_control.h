// What a guest can ask of its board. Any thread; returns at once, and the virtual CPUs soon stop.
#pragma once

#include <cstdint>

namespace acrn {

class PowerControl {
 public:
  virtual void request_reset() = 0;
  virtual void request_power_off() = 0;
  virtual void request_debug_exit(uint8_t value) = 0;  // ends the VM with status (value << 1) | 1

 protected:
  ~PowerControl() = default;
};

// What the host can ask of a guest. Any thread.
class PowerButton {
 public:
  // False: the guest does not listen.
  virtual bool press() = 0;

 protected:
  ~PowerButton() = default;
};

}  // namespace acrn
