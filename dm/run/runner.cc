#include "dm/run/runner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/control/function_report.h"
#include "dm/run/preflight.h"
#include "dm/run/serve_runner.h"
#include "dm/run/vm_runner.h"

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
  runner->ended_ = std::move(ended);
  return runner;
}

Runner::~Runner() { ACRN_CHECK(loop_.is_current() && over_); }

void Runner::start() {
  ACRN_CHECK(loop_.is_current());
  if (auto checked = preflight(config_); !checked) return end(checked.error());
  if (auto started = try_start(); !started) return end(started.error());
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, config_.serve ? " is served" : " runs"));
}

Result<void> Runner::add_function(const PciSlotConfig& slot, const MachineServices& services, IrqPin& pin) {
  auto function = create_function(slot, services, pin);
  if (!function) {
    return Error{function.error().kind, concat("-s ", short_name(slot.address), ": ", function.error().message)};
  }
  functions_.push_back({slot.address, std::move(function).value()});
  return {};
}

Result<void> Runner::make_monitor() {
  if (!config_.cmd_monitor) return {};
  auto monitor = ControlServer::create(loop_, *config_.cmd_monitor, *this);
  if (!monitor) return monitor.error();
  monitor_ = std::move(monitor).value();
  return {};
}

void Runner::request_stop() {
  loop_.post([this] { end(0); });
}

Result<ConfiguredFunction*> Runner::find(PciAddress address) const {
  for (const Function& candidate : functions_) {
    if (candidate.address == address) return candidate.function.get();
  }
  return Error{ErrorKind::kUsage, concat("there is no function in slot ", short_name(address))};
}

Result<void> Runner::blkrescan(const RescanRequest& request) {
  const auto function = find(request.address);
  return function ? function.value()->rescan(request.disk) : function.error();
}

Result<uint64_t> Runner::resize(PciAddress address) {
  const auto function = find(address);
  return function ? function.value()->resize() : function.error();
}

std::vector<FunctionReport> Runner::stats() {
  std::vector<FunctionReport> reports;
  for (const Function& each : functions_) reports.push_back(report_function(*each.function));
  return reports;
}

// On the loop. Once it is over nothing is posted: we may be gone when that would run.
void Runner::stop() {
  if (!over_) request_stop();
}

MachineStatus Runner::status() { return {.vm_name = config_.vm_name, .uuid = to_text(config_.uuid), .paused = false}; }

// The first one counts.
void Runner::end(Result<int> outcome) {
  if (over_) return;
  over_ = true;
  if (auto ended = halt(); !ended && outcome.ok()) outcome = ended.error();
  outcome_ = std::move(outcome);
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, " has ended"));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ended_.fd(), &one, sizeof(one));
}

// Also after one that fails.
Result<void> Runner::flush_all() {
  Result<void> result;
  for (const Function& each : functions_) {
    if (auto flushed = each.function->flush(); !flushed && result.ok()) result = flushed.error();
  }
  return result;
}

}  // namespace acrn
