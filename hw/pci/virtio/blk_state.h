// BlkState: what all queues of a virtio-blk device read and its control calls change. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/virtio/device_events.h"
#include "acrn/virtio/virtio_spec.h"
#include "hw/pci/virtio/blk_request.h"

namespace acrn {

using BlkSerial = std::array<char, VIRTIO_BLK_ID_BYTES>;  // zero padded

struct BlkState {
  std::atomic<uint64_t> accepted{0};   // features
  std::atomic<uint64_t> capacity{0};   // 512-byte sectors
  std::atomic<bool> writeback{false};  // the guest's wish, in the configuration space
  bool writeback_option = false;       // the operator's; constant from here on
  bool read_only = false;
  KickMode kick = KickMode::kAuto;  // constant, as all below
  uint32_t poll_nanoseconds = 0;    // 0: kicks
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_segments = 0;
  std::chrono::milliseconds io_timeout{0};  // until a request is told of; 0: never
  ErrorPolicy write_errors = ErrorPolicy::kReport, read_errors = ErrorPolicy::kReport;
  DeviceEvents* events = nullptr;  // null: nobody asks

  // Whether a request that failed so is held, see ErrorPolicy.
  bool holds(BlockOp op, int error) const {
    const ErrorPolicy policy = op == BlockOp::kRead ? read_errors : write_errors;
    return policy == ErrorPolicy::kStop || (policy == ErrorPolicy::kEnospc && (error == ENOSPC || error == EDQUOT));
  }

  // True: a write completes only when it is on stable storage.
  bool write_through() const {
    const uint64_t features = accepted.load(std::memory_order_relaxed);
    if ((features & feature(VIRTIO_BLK_F_CONFIG_WCE)) != 0) return !writeback.load(std::memory_order_relaxed);
    // A driver that never flushes gets stable writes, or its data would never be stable (virtio 1.2 5.2.6.2).
    if ((features & feature(VIRTIO_BLK_F_FLUSH)) == 0) return true;
    return !writeback_option;
  }
  // What decides over one request.
  BlkLimits limits() const {
    return {.capacity = capacity.load(std::memory_order_relaxed),
            .accepted = accepted.load(std::memory_order_relaxed),
            .read_only = read_only,
            .max_discard_sectors = max_discard_sectors,
            .max_discard_segments = max_discard_segments};
  }
};

}  // namespace acrn
