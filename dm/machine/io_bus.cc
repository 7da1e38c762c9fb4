#include "dm/machine/io_bus.h"

#include "acrn/base/check.h"

namespace acrn {

void IoBus::attach(uint16_t first, uint16_t count, PortDevice& device) {
  ACRN_CHECK(devices_.size() < UINT8_MAX && uint32_t{first} + count <= owner_.size());
  devices_.push_back({first, &device});
  for (uint32_t port = first; port < uint32_t{first} + count; port++) {
    ACRN_CHECK(owner_[port] == 0);
    owner_[port] = static_cast<uint8_t>(devices_.size());
  }
}

std::optional<uint32_t> IoBus::read(uint16_t port, unsigned size) {
  const uint8_t owner = owner_[port];
  if (owner == 0) return std::nullopt;
  const Attached& attached = devices_[owner - 1u];
  return attached.device->read(static_cast<uint16_t>(port - attached.first), size);
}

bool IoBus::write(uint16_t port, unsigned size, uint32_t value) {
  const uint8_t owner = owner_[port];
  if (owner == 0) return false;
  const Attached& attached = devices_[owner - 1u];
  attached.device->write(static_cast<uint16_t>(port - attached.first), size, value);
  return true;
}

void IoBus::reset() {
  for (const Attached& attached : devices_) attached.device->reset();
}

}  // namespace acrn
