#include "dm/devices/block_device.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/block/filters/write_log.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/exported_disk.h"
#include "dm/devices/function_info.h"
#include "dm/devices/virtio_disk.h"
#include "dm/devices/virtio_transport.h"
#include "dm/trace/trace_recorder.h"

namespace acrn::block_device {
namespace {

class BlockDevice final : public Device {
 public:
  static Result<std::unique_ptr<Device>> create(const PciSlotConfig& slot, const DeviceEnvironment& environment,
                                                IrqPin& pin) {
    auto disk = VirtioDisk::create(full_name(slot.address), *block_options(slot),
                                   {.memory = environment.memory,
                                    .shared_loop = environment.shared_loop,
                                    .queue_loop = environment.queue_loop,
                                    .poll_nanoseconds = environment.virtio.poll_nanoseconds.value_or(0),
                                    .throttles = environment.throttles,
                                    .events = environment.events,
                                    .confine_recorder = environment.confine_recorder});
    if (!disk) return disk.error();
    std::unique_ptr<BlockDevice> device(new BlockDevice(std::move(disk).value(), environment, pin));
    if (auto opened = device->disk_->open(); !opened) return opened.error();
    return std::unique_ptr<Device>(std::move(device));
  }

  PciFunction& function() override { return function_; }
  std::string source() const override { return disk_->source(); }
  DiskControl* disk() override { return disk_.get(); }

 private:
  BlockDevice(std::unique_ptr<VirtioDisk> disk, const DeviceEnvironment& environment, IrqPin& pin)
      : disk_(std::move(disk)),
        function_(disk_->take_device(), transport_options(environment.virtio), disk_->guest_errors(), pin,
                  environment.msi) {}

  const std::unique_ptr<VirtioDisk> disk_;
  VirtioPciLegacy function_;
};

class BareBlockDevice final : public BareDevice {
 public:
  static Result<std::unique_ptr<BareDevice>> create(const PciSlotConfig& slot, const VirtioEnvironment& environment) {
    auto disk = VirtioDisk::create(full_name(slot.address), *block_options(slot), environment);
    if (!disk) return disk.error();
    if (auto opened = disk.value()->open(); !opened) return opened.error();
    return std::unique_ptr<BareDevice>(new BareBlockDevice(std::move(disk).value()));
  }

  std::string source() const override { return disk_->source(); }
  DiskControl* disk() override { return disk_.get(); }
  VirtioDevice& virtio() override { return *device_; }
  GuestErrors& guest_errors() override { return disk_->guest_errors(); }

 private:
  explicit BareBlockDevice(std::unique_ptr<VirtioDisk> disk) : disk_(std::move(disk)), device_(disk_->take_device()) {}

  const std::unique_ptr<VirtioDisk> disk_;
  const std::unique_ptr<VirtioDevice> device_;
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

// The files that a disk writes beside itself.
Result<void> check_new_files(const BlockOptions& options) {
  const auto check = [&options](std::string_view name, const std::string& path, auto may_be_replaced) -> Result<void> {
    if (path.empty()) return {};
    const auto* disk = std::get_if<FilePath>(&options.source);
    std::error_code error;
    if (disk != nullptr && std::filesystem::equivalent(disk->path, path, error)) {
      return Error{ErrorKind::kUsage, concat(name, "=", path, ": that is the disk itself; name another file")};
    }
    return may_be_replaced(path);
  };
  if (!options.log.empty() && options.log == options.trace) {
    return Error{ErrorKind::kUsage, concat("log=", options.log, ": the trace goes there; name another file")};
  }
  if (auto checked = check("trace", options.trace, TraceRecorder::check); !checked) return checked;
  return check("log", options.log, WriteLog::check);
}

Result<DeviceFacts> inspect(const PciSlotConfig& slot, const VirtioOptions& virtio) {
  const BlockOptions& options = *block_options(slot);
  const VirtioPciOptions transport = transport_options(virtio);
  const VirtioBlkOptions device = virtio_blk_options(options, "");
  DeviceFacts facts;
  facts.function = function_info(virtio_pci_identity(VIRTIO_ID_BLOCK, VirtioBlk::kPciClass, transport));
  facts.function.features = virtio_blk_features(device);
  facts.function.bars = virtio_pci_bars(VIRTIO_BLK_CONFIG_SIZE, transport);
  if (auto checked = check_iothreads(options); !checked) return checked.error();
  if (auto checked = check_new_files(options); !checked) return checked.error();
  auto disk = inspect_disk(options, full_name(slot.address));
  if (!disk) return disk.error();
  facts.disk = std::move(disk).value();
  facts.discard = virtio_blk_discard_limits(device, facts.disk->info.discard_granularity);
  return facts;
}

Result<std::unique_ptr<Device>> create(const PciSlotConfig& slot, const DeviceEnvironment& environment, IrqPin& pin) {
  return BlockDevice::create(slot, environment, pin);
}

Result<std::unique_ptr<BareDevice>> create_bare(const PciSlotConfig& slot, const VirtioEnvironment& environment) {
  return BareBlockDevice::create(slot, environment);
}

Result<std::unique_ptr<BareDisk>> create_disk(const PciSlotConfig& slot, EventLoop& loop, ThrottleGroups* throttles,
                                              DeviceEvents* events) {
  return ExportedDisk::create(full_name(slot.address), *block_options(slot), loop, throttles, events);
}

}  // namespace acrn::block_device
