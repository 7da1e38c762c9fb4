// A device of the board on I/O ports: UART, RTC, reset and power ports. Any thread may call; a device does its own
// locking.
#pragma once

#include <cstdint>

namespace acrn {

class PortDevice {
 public:
  virtual ~PortDevice() = default;
  // `offset` from the device's first port; size 1, 2 or 4 bytes. Bytes that the device lacks are ones, and dropped.
  virtual uint32_t read(uint16_t offset, unsigned size) = 0;
  virtual void write(uint16_t offset, unsigned size, uint32_t value) = 0;
  virtual void reset() = 0;  // as at power-on
};

}  // namespace acrn
