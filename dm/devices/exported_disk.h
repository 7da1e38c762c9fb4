// ExportedDisk: a disk without a device, which a server gives to its clients.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/virtio/guest_rules.h"
#include "dm/block/disk_map.h"
#include "dm/block/filters/throttle.h"
#include "dm/devices/device.h"

namespace acrn {

// Threads: as DiskControl and SlotDevice say.
class ExportedDisk final : public BareDisk, public DiskControl {
 public:
  // Opens the disk of slot "0:9:0". `loop` outlives it. Errors: as of open_disk(); kUsage for a slot without a disk.
  static Result<std::unique_ptr<BareDisk>> create(const std::string& slot, const BlockOptions& options, EventLoop& loop,
                                                  ThrottleGroups* throttles);

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
  Result<uint64_t> resize() override { return backend_->refresh_size(); }
  Result<void> flush() override;
  ThrottledDisk& throttled() override { return throttled_; }
  void retry_held() override {}  // its clients are told of every error

 private:
  ExportedDisk(std::string slot, const BlockOptions& options, EventLoop& loop, std::unique_ptr<BlockBackend> backend,
               std::shared_ptr<ThrottleGroup> throttle)
      : slot_(std::move(slot)),
        options_(options),
        loop_(loop),
        throttled_(std::move(throttle)),
        backend_(make_filter_throttle(std::move(backend), throttled_)) {
    // Others are asked over a network, which a loop does not wait for.
    if (std::holds_alternative<FilePath>(options.source)) map_ = open_disk_map(options);
  }

  const std::string slot_;
  const BlockOptions options_;
  EventLoop& loop_;
  ThrottledDisk throttled_;
  const std::unique_ptr<BlockBackend> backend_;
  std::unique_ptr<DiskMap> map_;
  const GuestErrors guest_errors_{""};  // there is no guest
};

}  // namespace acrn
