#include "dm/vm_runner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/control/function_report.h"
#include "dm/machine/hypervisor_probe.h"
#include "dm/machine/irq_routing.h"

namespace acrn {

Result<std::unique_ptr<VmRunner>> VmRunner::create(const DmConfig& config, EpollLoop& loop) {
  std::unique_ptr<VmRunner> runner(new VmRunner(config, loop));
  runner->ended_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!runner->ended_) return Error{ErrorKind::kInternal, concat("eventfd: ", errno_text(errno))};
  return runner;
}

VmRunner::~VmRunner() {
  ACRN_CHECK(loop_.is_current() && over_);
  // The machine holds on to devices, the devices to the machine's lines: with its vCPUs stopped it uses none of them.
  monitor_.reset();
  board_.clear();
  lines_.clear();
  functions_.clear();
}

void VmRunner::start() {
  ACRN_CHECK(loop_.is_current());
  if (auto started = try_start(); !started) return end(started.error());
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, " runs"));
}

// What can be refused without effect on anything comes first.
Result<void> VmRunner::try_start() {
  auto kernel = open_kernel();
  if (!kernel) return kernel.error();
  kernel_ = std::move(kernel).value();
  for (const auto step : {&VmRunner::make_machine, &VmRunner::make_functions, &VmRunner::make_board,
                          &VmRunner::make_serial_ports, &VmRunner::make_monitor}) {
    if (auto made = (this->*step)(); !made) return made.error();
  }
  return machine_->boot(*kernel_);
}

Result<LinuxLoader> VmRunner::open_kernel() const {
  if (!config_.kernel) return Error{ErrorKind::kUsage, "-k: the kernel is missing; give a bzImage, like -k /boot/vmlinuz"};
  return LinuxLoader::open({.kernel = *config_.kernel,
                            .ramdisk = config_.ramdisk,
                            .bootargs = config_.bootargs,
                            .ram = ram_layout(config_.memory)});
}

Result<void> VmRunner::make_machine() {
  const std::vector<unsigned> level_lines(kPciLines.begin(), kPciLines.end());
  {
    auto trial = create_hypervisor(config_, level_lines);
    if (!trial) return trial.error();
    if (auto usable = probe_hypervisor(*trial.value()); !usable) return usable.error();
  }
  auto hypervisor = create_hypervisor(config_, level_lines);
  if (!hypervisor) return hypervisor.error();
  Machine::Options options{.ram = ram_layout(config_.memory), .acpi = {.vcpus = config_.vcpus}};
  for (const SerialPortConfig& port : config_.serial_ports) {
    options.acpi.serial_ports = static_cast<uint8_t>(options.acpi.serial_ports | 1u << (port.com - 1));
  }
  const auto cpu_failed = [this](std::string what) {
    loop_.post([this, what = std::move(what)] { end(Error{ErrorKind::kInternal, what}); });
  };
  auto machine = Machine::create(options, std::move(hypervisor).value(), {*this, cpu_failed});
  if (!machine) return machine.error();
  machine_ = std::move(machine).value();
  return {};
}

Result<void> VmRunner::make_functions() {
  auto loop = EpollLoop::create("queues", {});
  if (!loop) return loop.error();
  queue_loop_ = std::move(loop).value();
  const MachineServices services{.memory = machine_->memory(),
                                 .msi = machine_->msi(),
                                 .shared_loop = *queue_loop_,
                                 .single_msi = config_.virtio_msi,
                                 .windows = config_.windows,
                                 .poll_nanoseconds = config_.virtio_poll};
  for (const PciSlotConfig& slot : config_.slots) {
    auto function = create_function(slot, services, machine_->pci_pin(slot.address));
    if (!function) {
      return Error{function.error().kind, concat("-s ", short_name(slot.address), ": ", function.error().message)};
    }
    machine_->attach(slot.address, function.value()->function());
    functions_.push_back(std::move(function).value());
  }
  return {};
}

Result<void> VmRunner::make_board() {
  board_ = create_board(config_, *this);
  for (const BoardDevice& device : board_) machine_->attach(device.first_port, device.ports, *device.device);
  return {};
}

Result<void> VmRunner::make_serial_ports() {
  for (const SerialPortConfig& port : config_.serial_ports) {
    auto line = HostSerialLine::open(port.backend, concat("-l com", port.com), loop_, [this] { stop(); });
    if (!line) return line.error();
    lines_.push_back(std::move(line).value());
    BoardDevice uart = create_uart(port.com, *lines_.back(), machine_->isa_pin(uart_irq(port.com)));
    machine_->attach(uart.first_port, uart.ports, *uart.device);
    board_.push_back(std::move(uart));
  }
  return {};
}

Result<void> VmRunner::make_monitor() {
  if (!config_.cmd_monitor) return {};
  auto monitor = ControlServer::create(loop_, *config_.cmd_monitor, *this);
  if (!monitor) return monitor.error();
  monitor_ = std::move(monitor).value();
  return {};
}

void VmRunner::request_stop() {
  loop_.post([this] { end(0); });
}

void VmRunner::request_power_off() {
  loop_.post([this] { end(0); });
}

void VmRunner::request_debug_exit(uint8_t value) {
  loop_.post([this, value] { end((value << 1 | 1) & 0xff); });
}

void VmRunner::request_reset() {
  // A guest asks until it is heard; once is enough.
  if (!reset_asked_.exchange(true)) loop_.post([this] { restart(); });
}

void VmRunner::restart() {
  if (over_ || paused_ || !reset_asked_) return;  // resume() comes back to it, or has done so
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, " restarts"));
  if (auto reset = machine_->reset(); !reset) return end(reset.error());
  reset_asked_ = false;
  if (auto booted = machine_->boot(*kernel_); !booted) end(booted.error());
}

Result<ConfiguredFunction*> VmRunner::find(PciAddress address) const {
  for (size_t i = 0; i < functions_.size(); i++) {
    if (config_.slots[i].address == address) return functions_[i].get();
  }
  return Error{ErrorKind::kUsage, concat("there is no function in slot ", short_name(address))};
}

Result<void> VmRunner::blkrescan(const PciSlotConfig& slot) {
  const auto function = find(slot.address);
  return function ? function.value()->rescan(*slot.block) : function.error();
}

Result<uint64_t> VmRunner::resize(PciAddress address) {
  const auto function = find(address);
  return function ? function.value()->resize() : function.error();
}

std::vector<FunctionReport> VmRunner::stats() {
  std::vector<FunctionReport> reports;
  for (const auto& function : functions_) reports.push_back(report_function(*function));
  return reports;
}

Result<void> VmRunner::pause() {
  if (over_) return Error{ErrorKind::kUsage, "the VM has ended"};
  if (!std::exchange(paused_, true)) machine_->pause();
  return {};
}

Result<void> VmRunner::resume() {
  if (over_) return Error{ErrorKind::kUsage, "the VM has ended"};
  if (!std::exchange(paused_, false)) return {};
  if (reset_asked_) {
    restart();
  } else {
    machine_->resume();
  }
  return {};
}

// On the loop. Once it is over nothing is posted: we may be gone when that would run.
void VmRunner::stop() {
  if (!over_) request_stop();
}

MachineStatus VmRunner::status() {
  return {.vm_name = config_.vm_name, .uuid = to_text(config_.uuid), .paused = paused_};
}

// The first one counts.
void VmRunner::end(Result<int> outcome) {
  if (over_) return;
  over_ = true;
  if (machine_) machine_->stop();
  if (auto flushed = flush(); !flushed && outcome.ok()) outcome = flushed.error();
  outcome_ = std::move(outcome);
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, " has ended"));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(ended_.fd(), &one, sizeof(one));
}

// Every disk, also after one that fails: the first error.
Result<void> VmRunner::flush() {
  Result<void> result;
  for (const auto& function : functions_) {
    if (auto flushed = function->flush(); !flushed && result.ok()) result = flushed.error();
  }
  return result;
}

}  // namespace acrn
