// The small ports through which a PC's guest resets its board or turns it off. Any thread; the PowerControl outlives
// them and is called under no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/pci/level_interrupt.h"
#include "acrn/platform/port_device.h"
#include "acrn/platform/port_map.h"
#include "acrn/platform/power_control.h"

namespace acrn {

// The part of a keyboard controller that is left without a keyboard: no data,
class KeyboardData final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kKeyboardDataPort.first, kPorts = kKeyboardDataPort.count;

  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t, unsigned, uint32_t) override {}
  void reset() override {}
};

// a status that is always idle, and its reset line.
class KeyboardReset final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kKeyboardCommandPort.first, kPorts = kKeyboardCommandPort.count;
  static constexpr uint8_t kPulseReset = 0xfe;

  explicit KeyboardReset(PowerControl& board) : board_(board) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override {}

 private:
  PowerControl& board_;
};

// The chip set's reset control register.
class ResetControl final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kResetControlPort.first, kPorts = kResetControlPort.count;
  static constexpr uint8_t kResetCpu = 0x04;
  static constexpr uint8_t kResetValue = 0x06;  // a hard reset; the FADT's RESET_VALUE

  explicit ResetControl(PowerControl& board) : board_(board) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override { value_ = 0; }

 private:
  PowerControl& board_;
  std::atomic<uint8_t> value_{0};
};

// ACPI 6.4 4.8.3: the PM1a event block (status, enable) and, behind it, the control block. One event can happen, the
// power button; the SCI is asserted while it has and is enabled.
class Pm1a final : public PortDevice, public PowerButton {
 public:
  static constexpr uint16_t kFirstPort = kPm1aPorts.first, kPorts = kPm1aPorts.count;
  static constexpr uint8_t kSleepTypeS5 = 5;  // SLP_TYP for power-off; the DSDT's _S5 says the same
  static constexpr uint16_t kSciEnable = 0x0001;
  static constexpr uint16_t kSleepEnable = 0x2000;
  static constexpr unsigned kSleepTypeShift = 10;

  static constexpr uint16_t kPowerButton = 0x0100;  // of status and enable

  // Both outlive it.
  Pm1a(PowerControl& board, IrqPin& sci) : board_(board), sci_(sci, [this] { return wants_sci(); }) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override;
  bool press() override;

 private:
  bool wants_sci();
  void write_register(unsigned port, uint8_t value);

  PowerControl& board_;
  LevelInterrupt sci_;
  Mutex mutex_;  // leaf
  std::array<uint8_t, 2> status_ ACRN_GUARDED_BY(mutex_) = {}, enable_ ACRN_GUARDED_BY(mutex_) = {};
  uint8_t sleep_type_ ACRN_GUARDED_BY(mutex_) = 0;
};

// ACPI 6.4 4.8.3.7: the sleep control register of a board without PM1a.
class SleepControl final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kSleepControlPort.first, kPorts = kSleepControlPort.count;
  static constexpr uint8_t kSleepEnable = 0x20;
  static constexpr unsigned kSleepTypeShift = 2;

  explicit SleepControl(PowerControl& board) : board_(board) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override {}

 private:
  PowerControl& board_;
};

// ACPI 6.4 4.8.3.3: the power management timer, 32 bits of 3.579545 MHz.
class PmTimer final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kPmTimerPorts.first, kPorts = kPmTimerPorts.count;
  static constexpr uint64_t kFrequency = 3'579'545;  // Hz

  // `clock`: nanoseconds that only grow; called on any thread.
  explicit PmTimer(std::function<uint64_t()> clock) : clock_(std::move(clock)) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t, unsigned, uint32_t) override {}
  void reset() override {}

 private:
  const std::function<uint64_t()> clock_;
};

// Ends the VM with the byte that is written (--debugexit).
class DebugExit final : public PortDevice {
 public:
  static constexpr uint16_t kFirstPort = kDebugExitPort.first, kPorts = kDebugExitPort.count;

  explicit DebugExit(PowerControl& board) : board_(board) {}
  uint32_t read(uint16_t offset, unsigned size) override;
  void write(uint16_t offset, unsigned size, uint32_t value) override;
  void reset() override {}

 private:
  PowerControl& board_;
};

}  // namespace acrn
