#include "dm/devices/registry.h"

#include <chrono>
#include <ctime>
#include <thread>

#include "acrn/base/concat.h"
#include "acrn/base/mutex.h"
#include "dm/base/host_cpus.h"
#include "dm/devices/block_device_options.h"
#include "dm/event/epoll_loop.h"
#include "dm/ident/disk_serial.h"
#include "hw/pci/identity_function.h"
#include "hw/pci/virtio/virtio_blk.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"
#include "hw/platform/board_ports.h"
#include "hw/platform/pit_8254.h"
#include "hw/platform/rtc.h"
#include "hw/platform/uart_16550.h"

namespace acrn {
namespace {

constexpr uint16_t kOracleVendor = 0x108e;  // --windows: what the Windows driver of ACRN binds to

uint64_t monotonic_nanoseconds() {
  return static_cast<uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

Error not_a_disk() { return {ErrorKind::kUsage, "this slot is not a virtio-blk disk"}; }

class Bridge final : public ConfiguredFunction {
 public:
  Bridge(const PciSlotConfig& slot, const PciIdentity& identity)
      : description_{full_name(slot.address), slot.emulation, ""}, function_(identity) {}
  PciFunction& function() override { return function_; }
  FunctionDescription describe() const override { return description_; }
  std::vector<QueueStats> stats() const override { return {}; }
  const GuestMistakes* mistakes() const override { return nullptr; }
  Result<void> rescan(std::span<const std::string>) override { return not_a_disk(); }
  Result<uint64_t> resize() override { return not_a_disk(); }
  Result<void> flush() override { return {}; }

 private:
  const FunctionDescription description_;
  IdentityFunction function_;
};

VirtioBlkOptions device_options(const BlockOptions& options, const std::string& name, uint32_t poll_nanoseconds = 0) {
  VirtioBlkOptions device{.name = name,
                          .queues = options.queues,
                          .queue_size = static_cast<uint16_t>(options.queue_size),
                          .read_only = options.read_only,
                          .writeback = options.writeback,
                          .logical_block = options.logical_sector,
                          .physical_block = options.physical_sector.value_or(0),
                          .discard = options.discard.has_value(),
                          .kick = options.kick,
                          .poll_nanoseconds = poll_nanoseconds};
  if (options.discard) {
    device.max_discard_sectors = options.discard->max_sectors;
    device.max_discard_segments = options.discard->max_segments;
    device.discard_alignment = options.discard->alignment;
  }
  return device;
}

VirtioPciOptions transport_options(bool windows, bool single_msi) {
  return {.single_msi = single_msi, .subsystem_vendor = windows ? kOracleVendor : VIRTIO_PCI_VENDOR_ID};
}

const PciIdentity& bridge_identity(const PciSlotConfig& slot) {
  return slot.emulation == "lpc" ? kLpcIdentity : kHostBridgeIdentity;
}

// A loop on several CPUs would do with those that are there, without a word.
Result<void> check_iothreads(const BlockOptions& options) {
  for (const std::vector<unsigned>& cpus : options.iothread_cpus) {
    if (auto checked = check_host_cpus(cpus, "iothread"); !checked) return checked;
  }
  return {};
}

class Disk final : public ConfiguredFunction {
 public:
  static Result<std::unique_ptr<ConfiguredFunction>> create(const PciSlotConfig& slot, const MachineServices& services,
                                                            IrqPin& pin) {
    if (auto checked = check_iothreads(*slot.block); !checked) return checked.error();
    std::unique_ptr<Disk> disk(new Disk(slot));
    if (auto built = disk->build(services, pin); !built) return built.error();
    if (!std::holds_alternative<NoDisk>(slot.block->source)) {
      if (auto opened = disk->open(*slot.block); !opened) return opened.error();
    }
    return std::unique_ptr<ConfiguredFunction>(std::move(disk));
  }

  PciFunction& function() override { return *function_; }
  FunctionDescription describe() const override {
    MutexLock lock(mutex_);
    return {slot_, "virtio-blk", source_};
  }
  std::vector<QueueStats> stats() const override {
    std::vector<QueueStats> stats;
    for (unsigned queue = 0; queue < device_->queue_count(); queue++) stats.push_back(device_->stats(queue));
    return stats;
  }
  const GuestMistakes* mistakes() const override { return &mistakes_; }

  Result<void> rescan(std::span<const std::string> disk) override {
    // Before it is opened: its locks would tell of a conflict with ourselves.
    if (device_->has_disk()) {
      return Error{ErrorKind::kUsage, concat("blkrescan ", slot_, ": it has a disk already (", describe().source,
                                             "), and one in use is not replaced")};
    }
    const auto options = parse_rescan_options(disk, options_);
    if (!options) return Error{options.error().kind, concat("blkrescan ", slot_, ": ", options.error().message)};
    return open(options.value());
  }
  Result<uint64_t> resize() override { return device_->resize(); }
  Result<void> flush() override { return device_->flush(); }

 private:
  explicit Disk(const PciSlotConfig& slot)
      : slot_(full_name(slot.address)),
        options_(*slot.block),
        mistakes_("virtio-blk " + slot_),
        source_(source_text(NoDisk{})) {}

  Result<void> build(const MachineServices& services, IrqPin& pin) {
    std::vector<EventLoop*> loops;
    // Who asks for queues wants them side by side.
    const unsigned wanted =
        options_.iothreads != 0 || options_.queues == 1 ? options_.iothreads : std::thread::hardware_concurrency();
    const unsigned iothreads = std::min(wanted, options_.queues);
    for (unsigned i = 0; i < iothreads; i++) {
      std::vector<unsigned> cpus;
      if (i < options_.iothread_cpus.size()) cpus = options_.iothread_cpus[i];
      auto loop = EpollLoop::create(concat("iothread", i, " ", slot_), cpus, services.queue_loop);
      if (!loop) return loop.error();
      iothreads_.push_back(std::move(loop).value());
      loops.push_back(iothreads_.back().get());
    }
    if (loops.empty()) loops.push_back(&services.shared_loop);
    VirtioBlkOptions options = device_options(options_, "virtio-blk " + slot_, services.poll_nanoseconds.value_or(0));
    options.serial = options_.serial.value_or(disk_serial(no_disk(options_, slot_).identity));
    auto device = VirtioBlk::create(options, services.memory, mistakes_, std::move(loops));
    if (!device) return device.error();
    device_ = device.value().get();
    function_ = std::make_unique<VirtioPciLegacy>(std::move(device).value(),
                                                  transport_options(services.windows, services.single_msi), mistakes_,
                                                  pin, services.msi);
    return {};
  }

  Result<void> open(const BlockOptions& options) {
    auto opened = open_disk(options, slot_);
    if (!opened) return opened.error();
    const std::string serial = options.serial.value_or(disk_serial(opened.value().facts.identity));
    if (auto attached = device_->attach(std::move(opened.value().backend), serial); !attached) return attached;
    MutexLock lock(mutex_);
    source_ = source_text(options.source);
    return {};
  }

  const std::string slot_;
  const BlockOptions options_;
  GuestMistakes mistakes_;
  mutable Mutex mutex_;  // leaf
  std::string source_ ACRN_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<EpollLoop>> iothreads_;
  std::unique_ptr<VirtioPciLegacy> function_;  // destroyed first: its queues live on the loops above
  VirtioBlk* device_ = nullptr;                // inside function_
};

}  // namespace

Result<FunctionFacts> inspect_function(const PciSlotConfig& slot, bool windows, bool single_msi) {
  const VirtioPciOptions options = transport_options(windows, single_msi);
  const PciIdentity id =
      slot.block ? virtio_pci_identity(VIRTIO_ID_BLOCK, VirtioBlk::kPciClass, options) : bridge_identity(slot);
  FunctionFacts facts;
  facts.face = {.vendor = id.vendor,
                .device = id.device,
                .class_code = id.class_code,
                .subsystem_vendor = id.subsystem_vendor,
                .subsystem = id.subsystem};
  if (!slot.block) return facts;
  const VirtioBlkOptions device = device_options(*slot.block, "");
  facts.face.features = virtio_blk_features(device);
  facts.face.bars = virtio_pci_bars(VIRTIO_BLK_CONFIG_SIZE, options);
  if (auto checked = check_iothreads(*slot.block); !checked) return checked.error();
  auto disk = inspect_disk(*slot.block, full_name(slot.address));
  if (!disk) return disk.error();
  facts.disk = std::move(disk).value();
  facts.discard = virtio_blk_discard_limits(device, facts.disk->info.discard_granularity);
  return facts;
}

Result<std::unique_ptr<ConfiguredFunction>> create_function(const PciSlotConfig& slot, const MachineServices& services,
                                                            IrqPin& pin) {
  if (slot.emulation == "virtio-blk") return Disk::create(slot, services, pin);
  return std::unique_ptr<ConfiguredFunction>(std::make_unique<Bridge>(slot, bridge_identity(slot)));
}

Result<std::vector<BoardDevice>> create_board(bool debug_exit, BoardControl& control,
                                              const std::optional<PitServices>& pit) {
  std::vector<BoardDevice> board;
  const auto add = [&]<class Device>(std::unique_ptr<Device> device) {
    board.push_back({Device::kFirstPort, Device::kPorts, std::move(device)});
  };
  add(std::make_unique<Rtc>([] { return std::time(nullptr); }));
  add(std::make_unique<KeyboardData>());
  add(std::make_unique<KeyboardReset>(control));
  add(std::make_unique<ResetControl>(control));
  add(std::make_unique<Pm1a>(control));
  if (debug_exit) add(std::make_unique<DebugExit>(control));
  if (pit) {
    auto timer = Pit8254::create(pit->loop, pit->pin, monotonic_nanoseconds);
    if (!timer) return timer.error();
    auto port_b = std::make_unique<SystemPortB>(*timer.value());
    add(std::move(timer).value());
    add(std::move(port_b));
  }
  return board;
}

BoardDevice create_uart(unsigned com, SerialLine& line, IrqPin& pin) {
  constexpr std::array<uint16_t, 4> kFirstPorts{0x3f8, 0x2f8, 0x3e8, 0x2e8};
  return {kFirstPorts[com - 1], Uart16550::kPorts, std::make_unique<Uart16550>(line, pin)};
}

}  // namespace acrn
