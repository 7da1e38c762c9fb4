#include "tests/contract/pci_reach.h"

#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "dm/base/log_setup.h"
#include "dm/event/epoll_loop.h"
#include "dm/machine/irq_routing.h"
#include "dm/machine/machine.h"
#include "dm/mem/guest_ram.h"
#include "dm/server/vfio_user/server.h"
#include "dm/slot_config.h"
#include "tests/support/bzimage_file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vfio_user_client.h"

namespace acrn::test {
namespace {

constexpr uint64_t kRam = 64 << 20;  // bytes

template <class T>
T must(Result<T> result) {
  if (!result.ok()) throw Failure{"reach", result.error().message};
  return std::move(result).value();
}
void must(const Result<void>& result) {
  if (!result.ok()) throw Failure{"reach", result.error().message};
}

// A driver's mistakes are part of these tests; they need not fill the console.
PciSlotConfig slot_of(const ReachOptions& options) {
  static const bool quiet = setup_logging({.console = 1}, "").ok();
  EXPECT(quiet);
  return must(parse_slot("9,virtio-blk," + options.disk));
}

class DirectReach final : public Reach {
 public:
  explicit DirectReach(const ReachOptions& options) {
    const MachineServices services{.memory = board_->memory(),
                                   .msi = board_->msi(),
                                   .shared_loop = *loop_,
                                   .single_msi = options.single_msi};
    function_ = must(create_function(slot_of(options), services, board_->pin(kAddress)));
    board_->bus().attach(kAddress, function_->function());
  }
  LoopbackMachine& board() override { return *board_; }
  ConfiguredFunction& function() override { return *function_; }

 private:
  std::unique_ptr<LoopbackMachine> board_ = must(LoopbackMachine::create(kRam));
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("queues", {}));
  std::unique_ptr<ConfiguredFunction> function_;
};

// A hypervisor whose virtual CPU is whoever calls: interrupts go to the test's board.
class CallerCpu final : public Hypervisor {
 public:
  std::vector<MemoryRegion> ram;
  ExitHandler* exits = nullptr;
  MsiSink* messages = nullptr;
  IrqPin* line = nullptr;
  unsigned line_number = 0;

  // As a hypervisor treats a port write: a doorbell's is no exit.
  void out(uint16_t port, unsigned size, uint32_t value) {
    for (const Doorbell& doorbell : doorbells_) {
      if (doorbell.port != port || doorbell.size != size || doorbell.data != value) continue;
      const uint64_t one = 1;
      EXPECT(::write(doorbell.event_fd, &one, sizeof(one)) == sizeof(one));
      return;
    }
    exits->io_write(port, size, value);
  }
  HypervisorTraits traits() const override { return {}; }
  size_t doorbells() const { return doorbells_.size(); }

  Result<void> map_ram(const MemoryRegion& region) override {
    ram.push_back(region);
    return {};
  }
  Result<void> start(const BootState&, ExitHandler& handler) override {
    exits = &handler;
    return {};
  }
  void pause() override {}
  void resume() override {}
  Result<void> reset() override { return {}; }
  void stop() override {}
  void set_irq(unsigned gsi, bool asserted) override {
    if (line != nullptr && gsi == line_number) line->set_level(asserted);
  }
  void send(uint64_t address, uint32_t data) override { messages->send(address, data); }
  bool add_doorbell(const Doorbell& doorbell) override {
    doorbells_.push_back(doorbell);
    return true;
  }
  void remove_doorbell(const Doorbell& doorbell) override { std::erase(doorbells_, doorbell); }

 private:
  std::vector<Doorbell> doorbells_;
};

// The function as the machine's guest sees it: by exits at the addresses where it is.
class ExitFunction final : public PciFunction {
 public:
  ExitFunction(CallerCpu& cpu, const PciFunction& shape) : cpu_(cpu), shape_(shape) {}

  uint32_t config_read(unsigned offset, unsigned size) override {
    return cpu_.exits->config_read(Reach::kAddress, offset, size);
  }
  void config_write(unsigned offset, unsigned size, uint32_t value) override {
    cpu_.exits->config_write(Reach::kAddress, offset, size, value);
  }
  BarShape bar_shape(unsigned bar) const override { return shape_.bar_shape(bar); }
  std::optional<uint64_t> bar_address(unsigned bar) const override { return placed_bar(*this, bar); }
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override {
    const uint64_t at = bar_address(bar).value_or(0) + offset;
    return is_io(bar) ? cpu_.exits->io_read(static_cast<uint16_t>(at), size) : cpu_.exits->memory_read(at, size);
  }
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override {
    const uint64_t at = bar_address(bar).value_or(0) + offset;
    if (is_io(bar)) {
      cpu_.out(static_cast<uint16_t>(at), size, static_cast<uint32_t>(value));
    } else {
      cpu_.exits->memory_write(at, size, value);
    }
  }
  void reset() override {}  // is the machine's

 private:
  bool is_io(unsigned bar) const { return shape_.bar_shape(bar).kind == BarKind::kIo; }

  CallerCpu& cpu_;
  const PciFunction& shape_;
};

class NoControl final : public BoardControl {
 public:
  void request_reset() override {}
  void request_power_off() override {}
  void request_debug_exit(uint8_t) override {}
};

class MachineReach final : public Reach {
 public:
  explicit MachineReach(const ReachOptions& options) {
    auto hypervisor = std::make_unique<CallerCpu>();
    cpu_ = hypervisor.get();
    const RamLayout layout = ram_layout(kRam);
    machine_ = must(Machine::create({.ram = layout}, std::move(hypervisor), {control_, [](const std::string&) {}}));
    // The same RAM, without its first megabyte.
    MemoryRegion ram = cpu_->ram.at(0);
    ram.base = Gpa{LoopbackMachine::kRamBase};
    ram.host += LoopbackMachine::kRamBase;
    ram.size -= LoopbackMachine::kRamBase;
    board_ = std::make_unique<LoopbackMachine>(std::move(ram));
    cpu_->messages = &board_->msi();
    cpu_->line = &board_->pin(kAddress);
    cpu_->line_number = pci_line(machine_->traits().pci_lines, kAddress, 1);
    const MachineServices services{.memory = machine_->memory(),
                                   .msi = machine_->msi(),
                                   .shared_loop = *loop_,
                                   .single_msi = options.single_msi};
    function_ = must(create_function(slot_of(options), services, machine_->pci_pin(kAddress)));
    machine_->attach(kAddress, function_->function());
    const std::vector<std::byte> kernel = bzimage_file();
    std::ofstream(folder_.path("bzImage"), std::ios::binary)
        .write(reinterpret_cast<const char*>(kernel.data()), static_cast<std::streamsize>(kernel.size()));
    loader_ = must(LinuxLoader::open({.kernel = folder_.path("bzImage"), .ramdisk = {}, .bootargs = "", .ram = layout}));
    must(machine_->boot(*loader_));
    EXPECT_EQ(cpu_->doorbells(), function_->function().doorbells().size());
    seen_ = std::make_unique<ExitFunction>(*cpu_, function_->function());
    board_->bus().attach(kAddress, *seen_);
  }
  ~MachineReach() override {
    machine_->stop();
    function_.reset();  // its pin is the machine's
  }
  LoopbackMachine& board() override { return *board_; }
  ConfiguredFunction& function() override { return *function_; }

 private:
  TempDir folder_;
  NoControl control_;
  std::optional<LinuxLoader> loader_;
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("queues", {}));
  CallerCpu* cpu_ = nullptr;  // inside machine_
  std::unique_ptr<LoopbackMachine> board_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<ConfiguredFunction> function_;
  std::unique_ptr<ExitFunction> seen_;
};

class VfioUserReach final : public Reach {
 public:
  explicit VfioUserReach(const ReachOptions& options) {
    const MachineServices services{.memory = server_->memory(),
                                   .msi = server_->msi(),
                                   .shared_loop = *loop_,
                                   .single_msi = options.single_msi};
    function_ = must(create_function(slot_of(options), services, server_->pin()));
    const std::string path = folder_.path("vm1.9.0.sock");
    must(server_->serve(function_->function(), path));
    remote_ = std::make_unique<RemoteFunction>(path, memory_, Gpa{LoopbackMachine::kRamBase}, board_.pin(kAddress),
                                               board_.msi());
    board_.bus().attach(kAddress, *remote_);
  }
  ~VfioUserReach() override {
    remote_.reset();
    server_->stop();
    function_.reset();
  }
  LoopbackMachine& board() override { return board_; }
  ConfiguredFunction& function() override { return *function_; }

 private:
  TempDir folder_;
  SharedMemory memory_{kRam};
  LoopbackMachine board_{memory_.region(Gpa{LoopbackMachine::kRamBase})};
  std::unique_ptr<EpollLoop> loop_ = must(EpollLoop::create("queues", {}));
  std::unique_ptr<vfio_user::Server> server_ = must(vfio_user::Server::create("0:9:0"));
  std::unique_ptr<ConfiguredFunction> function_;
  std::unique_ptr<RemoteFunction> remote_;
};

}  // namespace

std::unique_ptr<Reach> reach_directly(const ReachOptions& options) { return std::make_unique<DirectReach>(options); }
std::unique_ptr<Reach> reach_on_the_machine(const ReachOptions& options) { return std::make_unique<MachineReach>(options); }
std::unique_ptr<Reach> reach_over_vfio_user(const ReachOptions& options) { return std::make_unique<VfioUserReach>(options); }

}  // namespace acrn::test
