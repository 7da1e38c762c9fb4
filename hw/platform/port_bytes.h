// An access to ports of byte registers, taken apart: one byte at a time, lowest port first, as an 8-bit device sees it
// on a bus. Ports past the device's last read as ones and drop what is written.
#pragma once

#include <algorithm>
#include <cstdint>

namespace acrn {

// `read_byte(port)` for each port below `ports`.
template <class ReadByte>
uint32_t read_bytes(unsigned offset, unsigned size, unsigned ports, ReadByte&& read_byte) {
  uint32_t value = 0;
  for (unsigned i = 0; i < std::min(size, 4u); i++) {
    const uint8_t byte = offset + i < ports ? read_byte(offset + i) : uint8_t{0xff};
    value |= uint32_t{byte} << (8 * i);
  }
  return value;
}

// `write_byte(port, byte)` for each port below `ports`.
template <class WriteByte>
void write_bytes(unsigned offset, unsigned size, unsigned ports, uint32_t value, WriteByte&& write_byte) {
  for (unsigned i = 0; i < std::min(size, 4u) && offset + i < ports; i++) {
    write_byte(offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }
}

}  // namespace acrn
