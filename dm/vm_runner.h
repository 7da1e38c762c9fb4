// VmRunner: one VM from its start to its end. Composes machine, functions and board out of the configuration, and does
// what guest, signals and control socket ask for.
//
// Threads: lives on the control loop; start() and destruction happen there. Requests come from any thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"
#include "acrn/platform/board_control.h"
#include "dm/config.h"
#include "dm/control/control_server.h"
#include "dm/event/epoll_loop.h"
#include "dm/machine/machine.h"
#include "dm/registry.h"
#include "dm/serial/serial_line.h"

namespace acrn {

class VmRunner final : private BoardControl, private ControlTarget {
 public:
  // `config` and the loop outlive it.
  static Result<std::unique_ptr<VmRunner>> create(const DmConfig& config, EpollLoop& loop);
  ~VmRunner();

  // Starts the VM; if that fails, it has ended. On the loop.
  void start();
  // Ends it in good order: vCPUs stopped, requests done, disks flushed. Any thread.
  void request_stop();

  // Readable once the VM has ended. Any thread.
  int ended_fd() const { return ended_.fd(); }
  // Once it has: the process's exit status, or what went wrong.
  Result<int> outcome() const { return outcome_; }

 private:
  VmRunner(const DmConfig& config, EpollLoop& loop) : config_(config), loop_(loop) {}

  Result<void> try_start();
  Result<LinuxLoader> open_kernel() const;
  Result<void> make_machine();
  Result<void> make_functions();
  Result<void> make_board();
  Result<void> make_serial_ports();
  Result<void> make_monitor();

  void request_reset() override;
  void request_power_off() override;
  void request_debug_exit(uint8_t value) override;

  // The control socket's commands, on the loop like everything else.
  Result<void> blkrescan(const PciSlotConfig& slot) override;
  Result<uint64_t> resize(PciAddress address) override;
  std::vector<FunctionReport> stats() override;
  Result<void> pause() override;
  Result<void> resume() override;
  void stop() override;
  MachineStatus status() override;

  Result<ConfiguredFunction*> find(PciAddress address) const;
  void end(Result<int> outcome);
  void restart();
  Result<void> flush();

  const DmConfig& config_;
  EpollLoop& loop_;
  UniqueFd ended_;  // eventfd
  Result<int> outcome_ = 0;
  bool over_ = false;
  bool paused_ = false;
  std::atomic<bool> reset_asked_{false};

  // In the order of their dependence: what is below uses what is above.
  std::optional<LinuxLoader> kernel_;
  std::unique_ptr<EpollLoop> queue_loop_;  // for disks without iothreads
  std::unique_ptr<Machine> machine_;
  std::vector<std::unique_ptr<ConfiguredFunction>> functions_;
  std::vector<std::unique_ptr<SerialLine>> lines_;
  std::vector<BoardDevice> board_;
  std::unique_ptr<ControlServer> monitor_;
};

}  // namespace acrn
