#include "tests/contract/pci_access_path.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "dm/base/log_setup.h"
#include "dm/devices/slot.h"
#include "dm/event/epoll_loop.h"
#include "dm/hypervisor/acrn/acrn.h"
#include "dm/machine/irq_routing.h"
#include "dm/machine/machine.h"
#include "dm/mem/guest_ram.h"
#include "dm/server/vfio_user/server.h"
#include "dm/server/vhost_user/server.h"
#include "dm/tools/vhost_user/remote_device.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"
#include "tests/support/bzimage_file.h"
#include "tests/support/faulty_hsm.h"
#include "tests/support/library_host.h"
#include "tests/support/must.h"
#include "tests/support/scripted_hypervisor.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vfio_user_client.h"

namespace acrn::test {
namespace {

constexpr uint64_t kRam = 64 << 20;  // bytes

// A driver's mistakes are part of these tests; they need not fill the console.
PciSlotConfig slot_of(const AccessPathOptions& options) {
  static const bool quiet = setup_logging({.console = 1}, "").ok();
  EXPECT(quiet);
  return must(parse_slot("9,virtio-blk," + options.disk));
}

// To a Device in this process.
class DevicePath : public AccessPath {
 public:
  uint64_t resize() override { return must(device_->disk()->resize()); }
  uint64_t guest_errors(GuestRule rule) override { return device_->disk()->guest_errors().count(rule); }

 protected:
  std::unique_ptr<Device> device_;
};

class DirectPath final : public DevicePath {
 public:
  explicit DirectPath(const AccessPathOptions& options) : loop_(must(EpollLoop::create("queues", {}, options.loop))) {
    const DeviceEnvironment environment{.memory = board_->memory(),
                                        .msi = board_->msi(),
                                        .shared_loop = *loop_,
                                        .virtio = {.single_msi = options.single_msi}};
    device_ = must(create_device(slot_of(options), environment, board_->pin(kAddress)));
    board_->bus().attach(kAddress, device_->function());
  }
  ~DirectPath() override { device_.reset(); }  // it lives on the loop
  LoopbackMachine& board() override { return *board_; }

 private:
  std::unique_ptr<LoopbackMachine> board_ = must(LoopbackMachine::create(kRam));
  std::unique_ptr<EpollLoop> loop_;
};

// The caller is a virtual CPU of the machine. Any thread.
class GuestCpu {
 public:
  virtual ~GuestCpu() = default;
  // Before the machine boots.
  virtual void connect(LoopbackMachine& board, unsigned line) = 0;
  virtual uint32_t config_read(PciAddress function, unsigned offset, unsigned size) = 0;
  virtual void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) = 0;
  virtual uint32_t in(uint16_t port, unsigned size) = 0;
  virtual void out(uint16_t port, unsigned size, uint32_t value) = 0;
  virtual uint64_t memory_read(uint64_t address, unsigned size) = 0;
  virtual void memory_write(uint64_t address, unsigned size, uint64_t value) = 0;
  virtual size_t doorbells() = 0;
  virtual bool hears_every_kick() const { return true; }
};

// A hypervisor whose virtual CPU calls the machine itself: interrupts go to the test's board.
class CallerCpu final : public Hypervisor, public GuestCpu {
 public:
  void connect(LoopbackMachine& board, unsigned line) override {
    messages_ = &board.msi();
    line_ = &board.pin(AccessPath::kAddress);
    line_number_ = line;
  }
  uint32_t config_read(PciAddress function, unsigned offset, unsigned size) override {
    return exits_->config_read(function, offset, size);
  }
  void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) override {
    exits_->config_write(function, offset, size, value);
  }
  uint32_t in(uint16_t port, unsigned size) override { return exits_->io_read(port, size); }
  // As a hypervisor treats a port write: a doorbell's is no exit.
  void out(uint16_t port, unsigned size, uint32_t value) override {
    for (const Doorbell& doorbell : doorbells_) {
      if (doorbell.port != port || doorbell.size != size || doorbell.data != value) continue;
      const uint64_t one = 1;
      EXPECT(::write(doorbell.event_fd, &one, sizeof(one)) == sizeof(one));
      return;
    }
    exits_->io_write(port, size, value);
  }
  uint64_t memory_read(uint64_t address, unsigned size) override { return exits_->memory_read(address, size); }
  void memory_write(uint64_t address, unsigned size, uint64_t value) override {
    exits_->memory_write(address, size, value);
  }
  size_t doorbells() override { return doorbells_.size(); }

  HypervisorTraits traits() const override { return {}; }
  Result<void> map_ram(const MemoryRegion&) override { return {}; }
  Result<void> start(const BootState&, ExitHandler& handler) override {
    exits_ = &handler;
    return {};
  }
  void pause() override {}
  void resume() override {}
  Result<void> reset() override { return {}; }
  void stop() override {}
  void set_irq(unsigned gsi, bool asserted) override {
    if (line_ != nullptr && gsi == line_number_) line_->set_level(asserted);
  }
  void send(uint64_t address, uint32_t data) override { messages_->send(address, data); }
  bool add_doorbell(const Doorbell& doorbell) override {
    doorbells_.push_back(doorbell);
    return true;
  }
  void remove_doorbell(const Doorbell& doorbell) override { std::erase(doorbells_, doorbell); }

 private:
  ExitHandler* exits_ = nullptr;
  MsiSink* messages_ = nullptr;
  IrqPin* line_ = nullptr;
  unsigned line_number_ = 0;
  std::vector<Doorbell> doorbells_;
};

// Virtual CPUs of ACRN, as many as make requests at once, above the module that the port is opened with.
class HsmCpus final : public GuestCpu {
 public:
  static constexpr uint16_t kVcpus = 4;

  HsmCpus() { below_.connect(module_); }
  std::unique_ptr<Hypervisor> port() {
    return must(Acrn::create({.vm_name = "reach", .vcpus = kVcpus}, std::make_unique<FaultyHsm>(module_, trace_)));
  }

  void connect(LoopbackMachine& board, unsigned line) override {
    messages_ = &board.msi();
    line_ = &board.pin(AccessPath::kAddress);
    line_number_ = line;
  }
  uint32_t config_read(PciAddress function, unsigned offset, unsigned size) override {
    MutexLock lock(config_);
    select(function, offset);
    return in(static_cast<uint16_t>(0xcfc + offset % 4), size);
  }
  void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value) override {
    MutexLock lock(config_);
    select(function, offset);
    out(static_cast<uint16_t>(0xcfc + offset % 4), size, value);
  }
  uint32_t in(uint16_t port, unsigned size) override {
    return static_cast<uint32_t>(access({.address = port, .size = size}));
  }
  void out(uint16_t port, unsigned size, uint32_t value) override {
    access({.direction = ACRN_IOREQ_DIR_WRITE, .address = port, .size = size, .value = value});
  }
  uint64_t memory_read(uint64_t address, unsigned size) override {
    return access({.type = ACRN_IOREQ_TYPE_MMIO, .address = address, .size = size});
  }
  void memory_write(uint64_t address, unsigned size, uint64_t value) override {
    access({ACRN_IOREQ_TYPE_MMIO, ACRN_IOREQ_DIR_WRITE, address, size, value});
  }
  size_t doorbells() override {
    const auto trace = trace_.trace();
    return static_cast<size_t>(std::ranges::count(trace, "IOEVENTFD"));
  }
  bool hears_every_kick() const override { return false; }  // the module has the whole register

 private:
  void select(PciAddress function, unsigned offset) {
    out(0xcf8, 4, 0x8000'0000u | function.bus << 16 | function.slot << 11 | function.function << 8 | (offset & 0xfc));
  }
  // By the first virtual CPU that is free.
  uint64_t access(const HsmAccess& access) {
    std::unique_lock lock(mutex_);
    free_.wait(lock, [&] { return busy_ != (1u << kVcpus) - 1; });
    const auto index = static_cast<unsigned>(std::countr_one(busy_));
    busy_ |= 1u << index;
    lock.unlock();
    const auto value = below_.vcpu(index).access(access);
    lock.lock();
    busy_ &= ~(1u << index);
    free_.notify_one();
    EXPECT(value.has_value());
    return *value;
  }
  void message(uint64_t address, uint64_t data) { messages_->send(address, static_cast<uint32_t>(data)); }
  void line(uint32_t gsi, bool high) {
    if (line_ != nullptr && gsi == line_number_) line_->set_level(!high);
  }

  MsiSink* messages_ = nullptr;
  IrqPin* line_ = nullptr;
  unsigned line_number_ = 0;
  HsmFaults trace_;
  ScriptedHypervisor below_{{.vcpus = kVcpus,
                             .on_msi = [this](uint64_t address, uint64_t data) { message(address, data); },
                             .on_line = [this](uint32_t gsi, bool high) { line(gsi, high); }}};
  FakeHsm module_{below_};
  Mutex config_;  // as a guest's kernel has one
  std::mutex mutex_;
  std::condition_variable free_;
  unsigned busy_ = 0;  // a bit for each virtual CPU
};

// The function as the machine's guest sees it: by exits at the addresses where it is.
class ExitFunction final : public PciFunction {
 public:
  ExitFunction(GuestCpu& cpu, const PciFunction& shape) : cpu_(cpu), shape_(shape) {}

  uint32_t config_read(unsigned offset, unsigned size) override {
    return cpu_.config_read(AccessPath::kAddress, offset, size);
  }
  void config_write(unsigned offset, unsigned size, uint32_t value) override {
    cpu_.config_write(AccessPath::kAddress, offset, size, value);
  }
  BarShape bar_shape(unsigned bar) const override { return shape_.bar_shape(bar); }
  std::optional<uint64_t> bar_address(unsigned bar) const override { return placed_bar(*this, bar); }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    const uint64_t at = bar_address(bar).value_or(0) + offset;
    return is_io(bar) ? cpu_.in(static_cast<uint16_t>(at), size) : cpu_.memory_read(at, size);
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    const uint64_t at = bar_address(bar).value_or(0) + offset;
    if (is_io(bar)) {
      cpu_.out(static_cast<uint16_t>(at), size, static_cast<uint32_t>(value));
    } else {
      cpu_.memory_write(at, size, value);
    }
  }
  void reset() override {}  // is the machine's

 private:
  bool is_io(unsigned bar) const { return shape_.bar_shape(bar).kind == BarKind::kIo; }

  GuestCpu& cpu_;
  const PciFunction& shape_;
};

class NoControl final : public PowerControl {
 public:
  void request_reset() override {}
  void request_power_off() override {}
  void request_debug_exit(uint8_t) override {}
};

class MachinePath final : public DevicePath {
 public:
  // `below`: what `cpu` and the hypervisor stand on.
  MachinePath(const AccessPathOptions& options, GuestCpu& cpu, std::unique_ptr<Hypervisor> hypervisor,
              std::unique_ptr<GuestCpu> below = {})
      : cpu_(cpu), below_(std::move(below)) {
    const RamLayout layout = ram_layout(kRam);
    machine_ = must(Machine::create({.ram = layout}, std::move(hypervisor), {control_, [](const std::string&) {}}));
    // The same RAM, without its first megabyte.
    MemoryRegion ram = machine_->memory().map()->regions()[0];
    ram.base = Gpa{LoopbackMachine::kRamBase};
    ram.host += LoopbackMachine::kRamBase;
    ram.size -= LoopbackMachine::kRamBase;
    board_ = std::make_unique<LoopbackMachine>(std::move(ram));
    cpu.connect(*board_, pci_line(machine_->traits().pci_lines, kAddress, 1));
    const DeviceEnvironment environment{.memory = machine_->memory(),
                                        .msi = machine_->msi(),
                                        .shared_loop = *loop_,
                                        .virtio = {.single_msi = options.single_msi}};
    device_ = must(create_device(slot_of(options), environment, machine_->pci_pin(kAddress)));
    machine_->attach(kAddress, device_->function());
    const std::vector<std::byte> kernel = bzimage_file();
    std::ofstream(folder_.path("bzImage"), std::ios::binary)
        .write(reinterpret_cast<const char*>(kernel.data()), static_cast<std::streamsize>(kernel.size()));
    loader_ = must(BootImage::open({.kernel = folder_.path("bzImage"), .ramdisk = {}, .bootargs = "", .ram = layout}));
    must(machine_->boot(*loader_));
    EXPECT_EQ(cpu.doorbells(), device_->function().doorbells().size());
    seen_ = std::make_unique<ExitFunction>(cpu, device_->function());
    board_->bus().attach(kAddress, *seen_);
  }
  ~MachinePath() override {
    machine_->stop();
    device_.reset();  // its pin is the machine's
  }
  LoopbackMachine& board() override { return *board_; }
  bool hears_every_kick() const override { return cpu_.hears_every_kick(); }

 private:
  GuestCpu& cpu_;
  TempDir folder_;
  NoControl control_;
  std::unique_ptr<BootImage> loader_;
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("queues", {}));
  std::unique_ptr<LoopbackMachine> board_;
  std::unique_ptr<GuestCpu> below_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<ExitFunction> seen_;
};

class VfioUserPath final : public DevicePath {
 public:
  explicit VfioUserPath(const AccessPathOptions& options) {
    const DeviceEnvironment environment{.memory = server_->memory(),
                                        .msi = server_->msi(),
                                        .shared_loop = *loop_,
                                        .virtio = {.single_msi = options.single_msi}};
    device_ = must(create_device(slot_of(options), environment, server_->pin()));
    const std::string path = folder_.path("vm1.9.0.sock");
    must(server_->serve(device_->function(), path, {}));
    remote_ = std::make_unique<RemoteFunction>(path, memory_, Gpa{LoopbackMachine::kRamBase}, board_.pin(kAddress),
                                               board_.msi());
    board_.bus().attach(kAddress, *remote_);
  }
  ~VfioUserPath() override {
    remote_.reset();
    server_->stop();
    device_.reset();
  }
  LoopbackMachine& board() override { return board_; }

 private:
  TempDir folder_;
  SharedMemory memory_{kRam};
  LoopbackMachine board_{memory_.region(Gpa{LoopbackMachine::kRamBase})};
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("queues", {}));
  std::unique_ptr<PciServer> server_ = must(vfio_user::VfioUserServer::create("0:9:0"));
  std::unique_ptr<RemoteFunction> remote_;
};

class VhostUserPath final : public AccessPath {
 public:
  explicit VhostUserPath(const AccessPathOptions& options) {
    device_ = must(create_bare_device(slot_of(options), {.memory = server_->memory(), .shared_loop = *queues_}));
    const std::string path = folder_.path("vm1.9.0.sock");
    must(server_->serve(device_->virtio(), device_->guest_errors(), path, {}));
    function_ = std::make_unique<VirtioPciLegacy>(must(RemoteDevice::connect(path, ram_, *loop_)),
                                                  VirtioPciOptions{.single_msi = options.single_msi}, guest_errors_,
                                                  board_.pin(kAddress), board_.msi());
    board_.bus().attach(kAddress, *function_);
  }
  ~VhostUserPath() override {
    function_.reset();
    server_->stop();
    device_.reset();
  }
  LoopbackMachine& board() override { return board_; }
  uint64_t resize() override { return must(device_->disk()->resize()); }
  uint64_t guest_errors(GuestRule rule) override {
    return device_->guest_errors().count(rule) + guest_errors_.count(rule);
  }

 private:
  TempDir folder_;
  const MemoryRegion ram_ = must(create_shared_ram(Gpa{LoopbackMachine::kRamBase}, kRam));
  LoopbackMachine board_{ram_};
  std::unique_ptr<EpollLoop> queues_ = must(EpollLoop::create("queues", {})),
                             loop_ = must(EpollLoop::create("front", {}));
  std::unique_ptr<VirtioServer> server_ = must(vhost_user::VhostUserServer::create("0:9:0"));
  std::unique_ptr<BareDevice> device_;
  GuestErrors guest_errors_{"front"};
  std::unique_ptr<VirtioPciLegacy> function_;
};

class LibraryPath final : public AccessPath {
 public:
  using MakeFunction = decltype(make_whole_function);
  LibraryPath(const AccessPathOptions& options, MakeFunction& make_function)
      : function_(make_function(options.disk, *board_->memory().map(), board_->pin(kAddress), board_->msi())) {
    board_->bus().attach(kAddress, *function_);
  }
  LoopbackMachine& board() override { return *board_; }
  uint64_t resize() override { return function_->disk().resize(); }
  uint64_t guest_errors(GuestRule rule) override {
    const auto stats = nlohmann::json::parse(function_->disk().stats());
    return stats["mistakes"].value(std::string(text(rule).name), uint64_t{0});
  }

 private:
  std::unique_ptr<LoopbackMachine> board_ = must(LoopbackMachine::create(kRam));
  std::unique_ptr<HostFunction> function_;
};

}  // namespace

std::unique_ptr<AccessPath> reach_directly(const AccessPathOptions& options) {
  return std::make_unique<DirectPath>(options);
}
std::unique_ptr<AccessPath> reach_on_the_machine(const AccessPathOptions& options) {
  auto cpu = std::make_unique<CallerCpu>();
  CallerCpu& caller = *cpu;
  return std::make_unique<MachinePath>(options, caller, std::move(cpu));
}
std::unique_ptr<AccessPath> reach_over_the_hsm(const AccessPathOptions& options) {
  auto cpus = std::make_unique<HsmCpus>();
  HsmCpus& callers = *cpus;
  return std::make_unique<MachinePath>(options, callers, callers.port(), std::move(cpus));
}
std::unique_ptr<AccessPath> reach_over_vfio_user(const AccessPathOptions& options) {
  return std::make_unique<VfioUserPath>(options);
}

std::unique_ptr<AccessPath> reach_over_vhost_user(const AccessPathOptions& options) {
  return std::make_unique<VhostUserPath>(options);
}

std::unique_ptr<AccessPath> reach_by_the_library(const AccessPathOptions& options) {
  return std::make_unique<LibraryPath>(options, make_whole_function);
}
std::unique_ptr<AccessPath> reach_by_its_eventfds(const AccessPathOptions& options) {
  return std::make_unique<LibraryPath>(options, make_eventfd_function);
}
std::unique_ptr<AccessPath> reach_by_its_registers(const AccessPathOptions& options) {
  return std::make_unique<LibraryPath>(options, make_register_function);
}

}  // namespace acrn::test
