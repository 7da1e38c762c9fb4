// Runner: what acrn-dm was asked to run, from its start to its end: the configured devices, the control socket and the
// metrics, and what uses the devices, which is the derived class's.
//
// Threads: lives on the control loop; start() and destruction happen there. Requests come from any thread.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/cli/command_line.h"
#include "dm/control/control_server.h"
#include "dm/control/metrics_server.h"
#include "dm/event/epoll_loop.h"
#include "dm/run/running_device.h"
#include "dm/run/slot_events.h"

namespace acrn {

class Runner : protected ControlTarget {
 public:
  // A machine, or with --serve a server. `config` and the loop outlive it.
  static Result<std::unique_ptr<Runner>> create(const DmConfig& config, EpollLoop& loop);
  virtual ~Runner();

  // If that fails, it has ended. On the loop.
  void start();
  // Ends it in good order: nothing uses the disks any more, requests done, disks flushed. A guest that has time for it
  // (--stop_timeout) is asked to power off first. Any thread.
  void request_stop();

  // Readable once it has ended. Any thread.
  int ended_fd() const { return ended_fd_.fd(); }
  // Once it has, on the loop: the process's exit status, or what went wrong.
  Result<int> outcome() const { return outcome_; }

 protected:
  Runner(const DmConfig& config, EpollLoop& loop) : config_(config), loop_(loop) {}

  virtual Result<void> try_start() = 0;
  // The same without asking. Any thread.
  void request_end();
  // True: the guest is about to end it, or a timer is.
  virtual bool ask_guest() { return false; }
  // A failed request is held (ErrorPolicy). `what` says whose and why.
  virtual void request_held(const std::string& what);
  // Returns when nothing uses the devices any more and every disk is flushed: the first error. Also after a start
  // that failed.
  virtual Result<void> halt() = 0;

  // The sockets through which others look at it, and their end, before that of the devices.
  Result<void> make_monitors();
  void end_monitors();
  // Who is told of what happens in that slot, and outlives its device.
  SlotEvents& add_events(PciAddress address);
  std::vector<DiskControl*> disks() const;
  Result<void> flush_all();  // the first error
  void retry_held();         // of failed requests
  void lift_limits();        // what waits for them must not hold up the end
  void end(Result<int> outcome);
  bool finished() const { return finished_; }

  // The control socket's commands, on the loop like everything else.
  Result<void> blkrescan(const RescanRequest& request) override;
  Result<uint64_t> resize(PciAddress address) override;
  Result<DiskLimits> limits(PciAddress address, std::span<const std::string> changes) override;
  Result<void> trace(PciAddress address, bool on) override;
  Result<void> mark(PciAddress address, const std::string& text) override;
  std::vector<DeviceReport> stats() override;
  void stop() override;
  MachineStatus status() override;

  const DmConfig& config_;
  EpollLoop& loop_;
  ThrottleGroups throttles_;
  EventBuffer events_;
  std::deque<SlotEvents> slot_events_;
  std::vector<RunningDevice> devices_;

 private:
  std::unique_ptr<ControlServer> control_server_;
  std::unique_ptr<MetricsServer> metrics_server_;
  UniqueFd ended_fd_;                     // eventfd
  std::atomic<bool> held_posted_{false};  // request_held() will be called; publishes nothing else
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>();  // for what is posted and may come too late
  Result<int> outcome_ = 0;
  bool finished_ = false;
};

}  // namespace acrn
