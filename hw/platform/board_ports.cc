#include "hw/platform/board_ports.h"

#include "hw/platform/port_bytes.h"

namespace acrn {
namespace {

constexpr uint8_t kResetBits = 0x0e;  // what ResetControl keeps

enum : unsigned { kPm1Enable = 2, kPm1Control = 4, kPm1ControlHigh = 5 };

// SLP_TYP and SLP_EN as bits of the control register's second byte.
constexpr uint8_t kSleepTypeBits = 0x07;
constexpr unsigned kSleepTypeShiftHigh = Pm1a::kSleepTypeShift - 8;
constexpr uint8_t kSleepEnableHigh = Pm1a::kSleepEnable >> 8;

}  // namespace

uint32_t KeyboardData::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [](unsigned) { return uint8_t{0}; });
}

uint32_t KeyboardReset::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [](unsigned) { return uint8_t{0}; });
}

void KeyboardReset::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned, uint8_t byte) {
    if (byte == kPulseReset) board_.request_reset();
  });
}

uint32_t ResetControl::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [this](unsigned) { return value_.load(); });
}

void ResetControl::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned, uint8_t byte) {
    value_ = byte & kResetBits;
    if ((byte & kResetCpu) != 0) board_.request_reset();
  });
}

uint32_t Pm1a::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [this](unsigned port) -> uint8_t {
    MutexLock lock(mutex_);
    if (port < kPm1Enable) return status_[port];
    if (port < kPm1Control) return enable_[port - kPm1Enable];
    // SLP_EN reads as 0.
    return port == kPm1Control ? uint8_t{kSciEnable} : static_cast<uint8_t>(sleep_type_ << kSleepTypeShiftHigh);
  });
}

void Pm1a::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned port, uint8_t byte) { write_register(port, byte); });
  sci_.update();
}

void Pm1a::write_register(unsigned port, uint8_t value) {
  const uint8_t sleep_type = (value >> kSleepTypeShiftHigh) & kSleepTypeBits;
  {
    MutexLock lock(mutex_);
    if (port < kPm1Enable) status_[port] &= static_cast<uint8_t>(~value);  // a 1 clears
    if (port >= kPm1Enable && port < kPm1Control) enable_[port - kPm1Enable] = value;
    if (port == kPm1ControlHigh) sleep_type_ = sleep_type;
  }
  if (port == kPm1ControlHigh && (value & kSleepEnableHigh) != 0 && sleep_type == kSleepTypeS5) {
    board_.request_power_off();
  }
}

bool Pm1a::press() {
  bool listens = false;
  {
    MutexLock lock(mutex_);
    status_[1] |= kPowerButton >> 8;
    listens = (enable_[1] & kPowerButton >> 8) != 0;
  }
  sci_.update();
  return listens;
}

bool Pm1a::wants_sci() {
  MutexLock lock(mutex_);
  return (status_[1] & enable_[1] & kPowerButton >> 8) != 0;
}

void Pm1a::reset() {
  {
    MutexLock lock(mutex_);
    status_ = enable_ = {};
    sleep_type_ = 0;
  }
  sci_.update();
}

uint32_t SleepControl::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, kPorts, [](unsigned) { return uint8_t{0}; });
}

void SleepControl::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned, uint8_t byte) {
    const bool off = (byte >> kSleepTypeShift & 7) == Pm1a::kSleepTypeS5;
    if ((byte & kSleepEnable) != 0 && off) board_.request_power_off();
  });
}

uint32_t PmTimer::read(uint16_t offset, unsigned size) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const uint64_t now = clock_();
  const auto ticks = static_cast<uint32_t>(now / kSecond * kFrequency + now % kSecond * kFrequency / kSecond);
  return read_bytes(offset, size, kPorts, [&](unsigned port) { return static_cast<uint8_t>(ticks >> 8 * port); });
}

uint32_t DebugExit::read(uint16_t offset, unsigned size) {
  return read_bytes(offset, size, 0, [](unsigned) { return uint8_t{0}; });
}

void DebugExit::write(uint16_t offset, unsigned size, uint32_t value) {
  write_bytes(offset, size, kPorts, value, [this](unsigned, uint8_t byte) { board_.request_debug_exit(byte); });
}

}  // namespace acrn
