#include "dm/run/vm_runner.h"

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/run/confinement.h"
#include "dm/run/preflight.h"

namespace acrn {

VmRunner::~VmRunner() {
  // The machine holds on to devices, the devices to the machine's lines: with its vCPUs stopped it uses none of them.
  end_monitors();
  board_.clear();
  lines_.clear();
  devices_.clear();
}

Result<void> VmRunner::halt() {
  if (machine_) machine_->stop();
  lift_limits();
  return flush_all();
}

Result<void> VmRunner::try_start() {
  auto kernel = open_kernel();
  if (!kernel) return kernel.error();
  kernel_ = std::move(kernel).value();
  for (const auto step :
       {&VmRunner::make_machine, &VmRunner::make_devices, &VmRunner::make_board, &VmRunner::make_serial_ports}) {
    if (auto made = (this->*step)(); !made) return made.error();
  }
  if (auto made = make_monitors(); !made) return made.error();
  reserve_for_sandbox(config_);
  if (auto entered = enter_sandbox(config_); !entered) return entered;
  return machine_->boot(*kernel_);
}

Result<std::unique_ptr<BootImage>> VmRunner::open_kernel() const {
  if (!has_kernel(config_)) {
    return Error{ErrorKind::kUsage,
                 "-k: the kernel is missing; give a bzImage, like -k /boot/vmlinuz, or -E or --ovmf"};
  }
  return BootImage::open(boot_options(config_));
}

Result<void> VmRunner::make_machine() {
  auto hypervisor = create_hypervisor(hypervisor_options(config_), loop_);
  if (!hypervisor) return hypervisor.error();
  Machine::Options options{.ram = ram_layout(config_.memory), .shared_ram = shares_memory(config_.slots)};
  for (const SerialPortConfig& port : config_.serial_ports) {
    options.serial_ports = static_cast<uint8_t>(options.serial_ports | 1u << (port.com - 1));
  }
  const auto cpu_failed = [this](std::string what) {
    loop_.post([this, what = std::move(what)] { end(Error{ErrorKind::kInternal, what}); });
  };
  auto machine = Machine::create(options, std::move(hypervisor).value(), {*this, cpu_failed});
  if (!machine) return machine.error();
  machine_ = std::move(machine).value();
  return {};
}

Result<void> VmRunner::make_devices() {
  auto loop = EpollLoop::create("queues", {}, kQueueLoop);
  if (!loop) return loop.error();
  queue_loop_ = std::move(loop).value();
  DeviceEnvironment environment{.memory = machine_->memory(),
                                .msi = machine_->msi(),
                                .shared_loop = *queue_loop_,
                                .virtio = virtio_options(config_),
                                .throttles = &throttles_,
                                .confine_recorder = recorder_confinement(config_)};
  for (const PciSlotConfig& slot : config_.slots) {
    environment.events = &add_events(slot.address);
    auto device = create_device(slot, environment, machine_->pci_pin(slot.address));
    if (!device) return device.error();
    machine_->attach(slot.address, device.value()->function());
    devices_.push_back({slot, std::move(device).value()});
  }
  return {};
}

Result<void> VmRunner::make_board() {
  std::optional<TimerEnvironment> pit;
  if (!machine_->traits().has_timer) pit.emplace(TimerEnvironment{loop_, machine_->isa_pin(kTimerIrq)});
  auto board = create_board({.debug_exit = config_.debug_exit, .firmware = config_.firmware.has_value()}, *this,
                            machine_->isa_pin(kSciIrq), {loop_, machine_->isa_pin(kRtcIrq)}, pit);
  if (!board) return board.error();
  board_ = std::move(board.value().devices);
  button_ = board.value().button;
  auto timer = loop_.make_timer([this] {
    log(LogLevel::kWarning, concat("the guest has not powered off within ", config_.stop_timeout, " s; the VM ends"));
    end(0);
  });
  if (!timer) return timer.error();
  stop_timer_ = std::move(timer).value();
  for (const PlatformDevice& device : board_) machine_->attach(device.first_port, device.ports, *device.device);
  return {};
}

Result<void> VmRunner::make_serial_ports() {
  for (const SerialPortConfig& port : config_.serial_ports) {
    auto line = HostSerialLine::open(port.backend, concat("-l com", port.com), loop_, [this] { stop(); });
    if (!line) return line.error();
    lines_.push_back(std::move(line).value());
    PlatformDevice uart = create_uart(port.com, *lines_.back(), machine_->isa_pin(uart_irq(port.com)));
    machine_->attach(uart.first_port, uart.ports, *uart.device);
    board_.push_back(std::move(uart));
  }
  return {};
}

// Only once: who asks again does not want to wait.
bool VmRunner::ask_guest() {
  if (config_.stop_timeout == 0 || paused_ || !stop_timer_ || std::exchange(stop_asked_, true)) return false;
  if (!button_->press()) {
    log(LogLevel::kInfo, "the guest does not listen to its power button");
    return false;
  }
  log(LogLevel::kInfo, concat("the guest is asked to power off, and has ", config_.stop_timeout, " s for it"));
  stop_timer_->start_once(uint64_t{config_.stop_timeout} * 1'000'000'000);
  return true;
}

void VmRunner::request_debug_exit(uint8_t value) {
  loop_.post([this, value] { end((value << 1 | 1) & 0xff); });
}

void VmRunner::request_reset() {
  // A guest asks until it is heard; once is enough.
  if (!reset_asked_.exchange(true)) loop_.post([this] { restart(); });
}

void VmRunner::restart() {
  if (finished() || paused_ || !reset_asked_) return;  // resume() comes back to it, or has done so
  log(LogLevel::kInfo, concat("VM ", config_.vm_name, " restarts"));
  const auto failed = [this](const Error& error) { end(Error{ErrorKind::kInternal, error.message}); };
  if (auto reset = machine_->reset(); !reset) return failed(reset.error());
  reset_asked_ = false;
  if (auto booted = machine_->boot(*kernel_); !booted) failed(booted.error());
}

void VmRunner::request_held(const std::string& what) {
  if (paused_) return;  // for another one
  if (const auto paused = pause(); !paused) return Runner::request_held(what);
  log(LogLevel::kWarning,
      concat("VM ", config_.vm_name, " is paused, since ", what, "; `resume` of the control socket tries it again"));
}

Result<void> VmRunner::pause() {
  if (finished()) return Error{ErrorKind::kUsage, "the VM has ended"};
  if (!machine_->traits().resumes)
    return Error{ErrorKind::kUnavailable, "this hypervisor cannot resume what it has paused"};
  if (std::exchange(paused_, true)) return {};
  machine_->pause();
  events_.add({.kind = ControlEventKind::kPaused});
  return {};
}

Result<void> VmRunner::resume() {
  if (finished()) return Error{ErrorKind::kUsage, "the VM has ended"};
  retry_held();
  if (!std::exchange(paused_, false)) return {};
  events_.add({.kind = ControlEventKind::kResumed});
  if (reset_asked_) {
    restart();
  } else {
    machine_->resume();
  }
  return {};
}

MachineStatus VmRunner::status() {
  MachineStatus status = Runner::status();
  status.paused = paused_;
  return status;
}

}  // namespace acrn
