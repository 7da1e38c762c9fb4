#include "dm/devices/platform_devices.h"

#include <chrono>

#include "acrn/platform/port_map.h"
#include "hw/platform/board_ports.h"
#include "hw/platform/pit_8254.h"
#include "hw/platform/rtc.h"
#include "hw/platform/uart_16550.h"

namespace acrn {
namespace {

uint64_t monotonic_nanoseconds() {
  return static_cast<uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

int64_t wall_nanoseconds() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Result<Board> create_board(const BoardOptions& options, PowerControl& control, IrqPin& sci, const TimerEnvironment& rtc,
                           const std::optional<TimerEnvironment>& pit) {
  Board board;
  const auto add = [&]<class Device>(std::unique_ptr<Device> device) {
    board.devices.push_back({Device::kFirstPort, Device::kPorts, std::move(device)});
  };
  auto clock = Rtc::create(rtc.loop, rtc.pin, wall_nanoseconds);
  if (!clock) return clock.error();
  add(std::move(clock).value());
  add(std::make_unique<KeyboardData>());
  add(std::make_unique<KeyboardReset>(control));
  add(std::make_unique<ResetControl>(control));
  auto power = std::make_unique<Pm1a>(control, sci);
  board.button = power.get();
  add(std::move(power));
  if (options.debug_exit) add(std::make_unique<DebugExit>(control));
  if (options.firmware) {
    add(std::make_unique<SleepControl>(control));
    add(std::make_unique<PmTimer>(monotonic_nanoseconds));
  }
  if (pit) {
    auto timer = Pit8254::create(pit->loop, pit->pin, monotonic_nanoseconds);
    if (!timer) return timer.error();
    auto port_b = std::make_unique<SystemPortB>(*timer.value());
    add(std::move(timer).value());
    add(std::move(port_b));
  }
  return board;
}

PlatformDevice create_uart(unsigned com, SerialLine& line, IrqPin& pin) {
  return {kComPorts[com - 1].first, Uart16550::kPorts, std::make_unique<Uart16550>(line, pin)};
}

}  // namespace acrn
