#include "dm/run/runner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/run/confinement.h"
#include "dm/run/preflight.h"
#include "dm/run/serve_runner.h"
#include "dm/run/vm_runner.h"
#include "dm/socket/inherited_sockets.h"

namespace acrn {

Result<std::unique_ptr<Runner>> Runner::create(const DmConfig& config, EpollLoop& loop) {
  UniqueFd ended(eventfd(0, EFD_CLOEXEC));
  if (!ended) return Error{ErrorKind::kInternal, concat("eventfd: ", errno_text(errno))};
  std::unique_ptr<Runner> runner;
  if (config.serve) {
    runner = std::make_unique<ServeRunner>(config, loop);
  } else {
    runner = std::make_unique<VmRunner>(config, loop);
  }
  runner->ended_fd_ = std::move(ended);
  return runner;
}

Runner::~Runner() { ACRN_CHECK(loop_.is_current() && finished_); }

void Runner::start() {
  ACRN_CHECK(loop_.is_current());
  if (auto checked = preflight(config_); !checked) return end(checked.error());
  ReadyNotice ready;
  if (auto started = try_start(); !started) return end(started.error());
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, config_.serve ? " is served" : " runs"));
  ready.send();
}

Result<void> Runner::make_monitors() {
  if (config_.cmd_monitor) {
    auto server = ControlServer::create(loop_, *config_.cmd_monitor, *this, &events_);
    if (!server) return server.error();
    control_server_ = std::move(server).value();
  }
  if (config_.metrics) {
    auto server = MetricsServer::create(loop_, *config_.metrics, *this);
    if (!server) return server.error();
    metrics_server_ = std::move(server).value();
  }
  return {};
}

void Runner::end_monitors() {
  control_server_.reset();
  metrics_server_.reset();
}

SlotEvents& Runner::add_events(PciAddress address) {
  const std::string slot = full_name(address);
  return slot_events_.emplace_back(slot, events_, [this, slot](const DeviceEvent& event) {
    if (held_posted_.exchange(true)) return;
    std::string what = concat("slot ", slot, ": a ", event.name, " that failed is held (",
                              errno_text(static_cast<int>(event.value)), ")");
    loop_.post([alive = std::weak_ptr(alive_), this, what = std::move(what)] {
      if (alive.expired()) return;
      held_posted_ = false;
      if (!finished_) request_held(what);
    });
  });
}

void Runner::request_held(const std::string& what) {
  log(LogLevel::kWarning, concat(what, "; `resume` of the control socket tries it again"));
}

void Runner::request_stop() {
  loop_.post([this] {
    if (!finished_ && !ask_guest()) end(0);
  });
}

void Runner::request_end() {
  loop_.post([this] { end(0); });
}

Result<void> Runner::blkrescan(const RescanRequest& request) {
  const auto disk = find_disk(devices_, request.address);
  if (!disk) return disk.error();
  if (auto checked = check_late_disk(config_, request.disk); !checked) return checked;
  return disk.value()->rescan(request.disk, request.file);
}

Result<uint64_t> Runner::resize(PciAddress address) {
  const auto disk = find_disk(devices_, address);
  return disk ? disk.value()->resize() : disk.error();
}

Result<DiskLimits> Runner::limits(PciAddress address, std::span<const std::string> changes) {
  const auto disk = find_disk(devices_, address);
  return disk ? change_limits(*disk.value(), changes) : disk.error();
}

Result<void> Runner::trace(PciAddress address, bool on) {
  const auto disk = find_disk(devices_, address);
  return disk ? disk.value()->set_trace(on) : disk.error();
}

Result<void> Runner::mark(PciAddress address, const std::string& text) {
  const auto disk = find_disk(devices_, address);
  return disk ? disk.value()->mark(text) : disk.error();
}

std::vector<DiskControl*> Runner::disks() const {
  std::vector<DiskControl*> disks;
  for (const RunningDevice& each : devices_) {
    if (DiskControl* const disk = each.device->disk(); disk != nullptr) disks.push_back(disk);
  }
  return disks;
}

void Runner::retry_held() {
  for (DiskControl* const disk : disks()) disk->retry_held();
}

void Runner::lift_limits() {
  for (DiskControl* const disk : disks()) disk->throttled().group().set({});
}

std::vector<DeviceReport> Runner::stats() {
  std::vector<DeviceReport> reports;
  for (const RunningDevice& each : devices_) reports.push_back(report_device(each));
  return reports;
}

// On the loop. Once it has ended nothing is posted: we may be gone when that would run.
void Runner::stop() {
  if (!finished_) request_stop();
}

MachineStatus Runner::status() { return {.vm_name = config_.vm_name, .uuid = to_text(config_.uuid), .paused = false}; }

// The first one counts.
void Runner::end(Result<int> outcome) {
  if (finished_) return;
  finished_ = true;
  if (auto ended = halt(); !ended && outcome.ok()) outcome = ended.error();
  outcome_ = std::move(outcome);
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, " has ended"));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ended_fd_.fd(), &one, sizeof(one));
}

// Also after one that fails.
Result<void> Runner::flush_all() {
  Result<void> result;
  for (DiskControl* const disk : disks()) {
    if (auto flushed = disk->flush(); !flushed && result.ok()) result = flushed.error();
  }
  return result;
}

}  // namespace acrn
