// The devices of a PC's board that are at fixed I/O ports: clock, timer, serial ports, reset and power.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/event/event_loop.h"
#include "acrn/pci/pci_function.h"
#include "acrn/platform/port_device.h"
#include "acrn/platform/power_control.h"
#include "acrn/platform/serial_line.h"

namespace acrn {

// A device and where it is.
struct PlatformDevice {
  uint16_t first_port = 0, ports = 0;
  std::unique_ptr<PortDevice> device;
};

// For a device that interrupts when it is time; both outlive it.
struct TimerEnvironment {
  EventLoop& loop;  // runs what interrupts; a late one makes late interrupts
  IrqPin& pin;      // the device's input of the interrupt controllers
};

struct BoardOptions {
  bool debug_exit = false;
  bool firmware = false;  // that looks for a PM timer, and turns the board off by a sleep control register
};

struct Board {
  std::vector<PlatformDevice> devices;
  PowerButton* button = nullptr;  // one of them
};

// Clock, reset and power, what the options say, and the timer if the hypervisor has none. The control and `sci`, the
// input for ACPI's interrupts, outlive them.
Result<Board> create_board(const BoardOptions& options, PowerControl& control, IrqPin& sci, const TimerEnvironment& rtc,
                           const std::optional<TimerEnvironment>& pit);
// COM1 to COM4. Line and pin outlive the device.
PlatformDevice create_uart(unsigned com, SerialLine& line, IrqPin& pin);

inline constexpr unsigned kTimerIrq = 0, kRtcIrq = 8;
constexpr unsigned uart_irq(unsigned com) { return com % 2 == 1 ? 4 : 3; }

}  // namespace acrn
