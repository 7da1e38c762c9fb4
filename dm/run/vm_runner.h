// VmRunner: one VM. Composes machine, devices and board out of the configuration, and does what guest, signals and
// control socket ask for. Threads as of Runner; requests of the board come from any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "acrn/platform/power_control.h"
#include "dm/devices/platform_devices.h"
#include "dm/machine/machine.h"
#include "dm/run/runner.h"
#include "dm/serial/serial_line.h"

namespace acrn {

class VmRunner final : public Runner, private PowerControl {
 public:
  VmRunner(const DmConfig& config, EpollLoop& loop) : Runner(config, loop) {}
  ~VmRunner() override;

 private:
  Result<void> try_start() override;
  Result<void> halt() override;
  Result<std::unique_ptr<BootImage>> open_kernel() const;
  Result<void> make_machine();
  Result<void> make_devices();
  Result<void> make_board();
  Result<void> make_serial_ports();

  void request_reset() override;
  void request_power_off() override { request_end(); }
  void request_debug_exit(uint8_t value) override;

  bool ask_guest() override;
  void request_held(const std::string& what) override;
  Result<void> pause() override;
  Result<void> resume() override;
  MachineStatus status() override;

  void restart();

  bool paused_ = false, stop_asked_ = false;
  std::atomic<bool> reset_asked_{false};

  // In the order of their dependence: what is below uses what is above, and the devices use the machine.
  std::unique_ptr<BootImage> kernel_;
  std::unique_ptr<EpollLoop> queue_loop_;  // for disks without iothreads
  std::unique_ptr<Machine> machine_;
  std::vector<std::unique_ptr<SerialLine>> lines_;
  std::vector<PlatformDevice> board_;
  PowerButton* button_ = nullptr;      // the board's
  std::unique_ptr<Timer> stop_timer_;  // the guest's time to power off
};

}  // namespace acrn
