// ExportedDisk: a disk without a device, which a server gives to its clients.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/virtio/device_events.h"
#include "acrn/virtio/guest_rules.h"
#include "dm/block/open_disk_map.h"
#include "dm/devices/device.h"

namespace acrn {

// Threads: as DiskControl and SlotDevice say.
class ExportedDisk final : public BareDisk, public DiskControl {
 public:
  // Opens the disk of slot "0:9:0". Loop and events outlive it; null: nobody is told. Errors: as of open_disk(); kUsage
  // for a slot without a disk.
  static Result<std::unique_ptr<BareDisk>> create(const std::string& slot, const BlockOptions& options, EventLoop& loop,
                                                  ThrottleGroups* throttles, DeviceEvents* events);
  ~ExportedDisk() override;

  BlockBackend& backend() override { return *backend_; }
  DiskMap* map() override { return map_.get(); }
  const BlockOptions& options() const override { return options_; }
  std::string source() const override;
  DiskControl* disk() override { return this; }

  // There are no queues.
  std::vector<QueueStats> stats() const override { return {}; }
  const GuestErrors& guest_errors() const override { return guest_errors_; }
  uint64_t size() const override { return backend_->info().size; }
  Result<void> rescan(std::span<const std::string> disk, int file) override;
  // Clients see the new size when they connect.
  Result<uint64_t> resize() override;
  Result<void> flush() override;
  ThrottledDisk& throttled() override { return throttled_; }
  Result<void> set_trace(bool on) override;
  Result<void> mark(std::string_view text) override;
  void retry_held() override {}  // its clients are told of every error

 private:
  ExportedDisk(const std::string& slot, const BlockOptions& options, EventLoop& loop,
               std::unique_ptr<BlockBackend> backend, std::shared_ptr<ThrottleGroup> throttle, DeviceEvents* events);

  const std::string slot_;
  const BlockOptions options_;
  EventLoop& loop_;
  DeviceEvents* const events_;
  ThrottledDisk throttled_;
  const std::unique_ptr<BlockBackend> backend_;
  std::atomic<uint64_t> told_size_, size_changes_{0};  // of the events; publish nothing else
  std::unique_ptr<DiskMap> map_;
  std::shared_ptr<WriteLog> log_;       // null: without log=
  const GuestErrors guest_errors_{""};  // there is no guest
};

}  // namespace acrn
