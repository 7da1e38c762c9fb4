#include "dm/devices/block_device.h"

#include <algorithm>
#include <thread>

#include "acrn/base/concat.h"
#include "acrn/base/mutex.h"
#include "dm/base/host_cpus.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/function_info.h"
#include "dm/event/epoll_loop.h"
#include "dm/ident/disk_serial.h"
#include "hw/pci/virtio/virtio_blk.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"

namespace acrn::block_device {
namespace {

constexpr uint16_t kOracleVendor = 0x108e;  // --windows: what the Windows driver of ACRN binds to

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

VirtioPciOptions transport_options(const VirtioOptions& virtio) {
  return {.single_msi = virtio.single_msi, .subsystem_vendor = virtio.windows ? kOracleVendor : VIRTIO_PCI_VENDOR_ID};
}

// A loop on several CPUs would do with those that are there, without a word.
Result<void> check_iothreads(const BlockOptions& options) {
  for (const std::vector<unsigned>& cpus : options.iothread_cpus) {
    if (auto checked = check_host_cpus(cpus, "iothread"); !checked) return checked;
  }
  return {};
}

class BlockDevice final : public Device, private DiskControl {
 public:
  static Result<std::unique_ptr<Device>> create(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                                IrqPin& pin) {
    const BlockOptions& options = *block_options(slot);
    if (auto checked = check_iothreads(options); !checked) return checked.error();
    std::unique_ptr<BlockDevice> device(new BlockDevice(full_name(slot.address), options));
    if (auto built = device->build(environment, pin); !built) return built.error();
    if (!std::holds_alternative<NoDisk>(options.source)) {
      if (auto opened = device->open(options); !opened) return opened.error();
    }
    return std::unique_ptr<Device>(std::move(device));
  }

  PciFunction& function() override { return *function_; }
  std::string source() const override {
    MutexLock lock(mutex_);
    return source_;
  }
  DiskControl* disk() override { return this; }

 private:
  BlockDevice(std::string slot, const BlockOptions& options)
      : slot_(std::move(slot)),
        options_(options),
        guest_errors_("virtio-blk " + slot_),
        source_(source_text(NoDisk{})) {}

  std::vector<QueueStats> stats() const override {
    std::vector<QueueStats> stats;
    for (unsigned queue = 0; queue < device_->queue_count(); queue++) stats.push_back(device_->stats(queue));
    return stats;
  }
  const GuestErrors& guest_errors() const override { return guest_errors_; }

  Result<void> rescan(std::span<const std::string> disk) override {
    // Before it is opened: its locks would tell of a conflict with ourselves.
    if (device_->has_disk()) {
      return Error{ErrorKind::kUsage, concat("blkrescan ", slot_, ": it has a disk already (", source(),
                                             "), and one in use is not replaced")};
    }
    const auto options = parse_rescan_options(disk, options_);
    if (!options) return Error{options.error().kind, concat("blkrescan ", slot_, ": ", options.error().message)};
    return open(options.value());
  }
  Result<uint64_t> resize() override { return device_->resize(); }
  Result<void> flush() override { return device_->flush(); }

  // Without `iothread` several queues have a loop each, up to the number of CPUs: they are asked for to run in
  // parallel.
  Result<std::vector<EventLoop*>> make_loops(const DeviceEnvironment& environment) {
    const unsigned wanted =
        options_.iothreads != 0 || options_.queues == 1 ? options_.iothreads : std::thread::hardware_concurrency();
    std::vector<EventLoop*> loops;
    for (unsigned i = 0; i < std::min(wanted, options_.queues); i++) {
      std::vector<unsigned> cpus;
      if (i < options_.iothread_cpus.size()) cpus = options_.iothread_cpus[i];
      auto loop = EpollLoop::create(concat("iothread", i, " ", slot_), cpus, environment.queue_loop);
      if (!loop) return loop.error();
      iothreads_.push_back(std::move(loop).value());
      loops.push_back(iothreads_.back().get());
    }
    if (loops.empty()) loops.push_back(&environment.shared_loop);
    return loops;
  }

  Result<void> build(const DeviceEnvironment& environment, IrqPin& pin) {
    auto loops = make_loops(environment);
    if (!loops) return loops.error();
    VirtioBlkOptions options =
        device_options(options_, "virtio-blk " + slot_, environment.virtio.poll_nanoseconds.value_or(0));
    options.serial = options_.serial.value_or(disk_serial(no_disk(options_, slot_).identity));
    auto device = VirtioBlk::create(options, environment.memory, guest_errors_, std::move(loops).value());
    if (!device) return device.error();
    device_ = device.value().get();
    function_ = std::make_unique<VirtioPciLegacy>(std::move(device).value(), transport_options(environment.virtio),
                                                  guest_errors_, pin, environment.msi);
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
  GuestErrors guest_errors_;
  mutable Mutex mutex_;  // leaf
  std::string source_ ACRN_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<EpollLoop>> iothreads_;
  std::unique_ptr<VirtioPciLegacy> function_;  // destroyed first: its queues live on the loops above
  VirtioBlk* device_ = nullptr;                // inside function_
};

}  // namespace

Result<SlotOptions> parse(std::span<const std::string> fields) {
  auto options = parse_block_options(fields);
  if (!options) return options.error();
  return SlotOptions(std::move(options).value());
}

std::string describe(const SlotOptions& options) { return source_text(std::get<BlockOptions>(options).source); }

Result<void> check_vcpus(const SlotOptions& options, unsigned vcpus) {
  const unsigned queues = std::get<BlockOptions>(options).queues;
  if (queues <= vcpus) return {};
  return Error{ErrorKind::kUsage,
               concat("mq=", queues, ": more queues than vCPUs (", vcpus, "); give mq=", vcpus, " or --cpus ", queues)};
}

Result<DeviceFacts> inspect(const PciSlotConfig& slot, const VirtioOptions& virtio) {
  const BlockOptions& options = *block_options(slot);
  const VirtioPciOptions transport = transport_options(virtio);
  const VirtioBlkOptions device = device_options(options, "");
  DeviceFacts facts;
  facts.function = function_info(virtio_pci_identity(VIRTIO_ID_BLOCK, VirtioBlk::kPciClass, transport));
  facts.function.features = virtio_blk_features(device);
  facts.function.bars = virtio_pci_bars(VIRTIO_BLK_CONFIG_SIZE, transport);
  if (auto checked = check_iothreads(options); !checked) return checked.error();
  auto disk = inspect_disk(options, full_name(slot.address));
  if (!disk) return disk.error();
  facts.disk = std::move(disk).value();
  facts.discard = virtio_blk_discard_limits(device, facts.disk->info.discard_granularity);
  return facts;
}

Result<std::unique_ptr<Device>> create(const PciSlotConfig& slot, const DeviceEnvironment& environment, IrqPin& pin) {
  return BlockDevice::create(slot, environment, pin);
}

}  // namespace acrn::block_device
