// IoBus: which device answers a port. Devices are attached before a vCPU runs; then any thread may access, and
// finding the device takes no lock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "acrn/platform/port_device.h"

namespace acrn {

class IoBus {
 public:
  // Ports [first, first + count). The bus does not own the device; no two share a port.
  void attach(uint16_t first, uint16_t count, PortDevice& device);

  // Nothing and false: nobody answers. An access belongs to the device at its first port.
  std::optional<uint32_t> read(uint16_t port, unsigned size);
  bool write(uint16_t port, unsigned size, uint32_t value);

  void reset();  // every device

 private:
  struct Attached {
    uint16_t first;
    PortDevice* device;
  };
  std::vector<Attached> devices_;
  std::array<uint8_t, 0x10000> owner_{};  // of each port: 1 + index in devices_; 0: none
};

}  // namespace acrn
