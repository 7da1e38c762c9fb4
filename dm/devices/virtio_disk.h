// VirtioDisk: a virtio-blk device with the disk behind it and the loops that serve its queues, without the transport
// that a guest sees. BlockDevice makes it a PCI function; the library for other device models gives it to a machine
// that has PCI of its own.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/guest_rules.h"
#include "dm/block/filters/write_log.h"
#include "dm/devices/device.h"
#include "dm/event/epoll_loop.h"
#include "dm/trace/trace_recorder.h"
#include "hw/pci/virtio/virtio_blk.h"

namespace acrn {

// How the device is made of the options; pure.
VirtioBlkOptions virtio_blk_options(const BlockOptions& options, const std::string& name,
                                    uint32_t poll_nanoseconds = 0);
// Whether the CPUs that its iothreads are to run on are there. Errors: kUsage.
Result<void> check_iothreads(const BlockOptions& options);

// Created and destroyed by the composing thread; what DiskControl says of threads, else any.
class VirtioDisk final : public DiskControl {
 public:
  // A device without a disk, in slot "0:9:0".
  static Result<std::unique_ptr<VirtioDisk>> create(const std::string& slot, const BlockOptions& options,
                                                    const VirtioEnvironment& environment);

  // For the transport around it, once. The transport is destroyed first.
  std::unique_ptr<VirtioDevice> take_device() { return std::move(taken_); }
  // Opens the disk that the options name, if they do. After the transport was made.
  Result<void> open();

  // See Device::source().
  std::string source() const;

  std::vector<QueueStats> stats() const override;
  const GuestErrors& guest_errors() const override { return guest_errors_; }
  GuestErrors& guest_errors() { return guest_errors_; }
  uint64_t size() const override { return device_->capacity(); }
  Result<void> rescan(std::span<const std::string> disk, int file) override;
  Result<uint64_t> resize() override { return device_->resize(); }
  Result<void> flush() override { return device_->flush(); }
  ThrottledDisk& throttled() override { return throttled_; }
  void retry_held() override { device_->retry_held(); }
  Result<void> set_trace(bool on) override;
  Result<void> mark(std::string_view text) override;

 private:
  VirtioDisk(std::string slot, const BlockOptions& options, const VirtioEnvironment& environment);
  Result<std::vector<EventLoop*>> make_loops(const VirtioEnvironment& environment);
  Result<void> attach(const BlockOptions& options);
  Result<void> start_trace();

  const std::string slot_;
  const BlockOptions options_;
  std::unique_ptr<TraceRecorder> trace_;  // null: without trace=
  void (*const confine_recorder_)();
  GuestErrors guest_errors_;
  ThrottledDisk throttled_;
  mutable Mutex mutex_;  // leaf
  std::string source_ ACRN_GUARDED_BY(mutex_);
  std::shared_ptr<WriteLog> log_ ACRN_GUARDED_BY(mutex_);  // null: without log=
  std::vector<std::unique_ptr<EpollLoop>> iothreads_;
  std::unique_ptr<VirtioBlk> taken_;  // until the transport has it; its queues live on the loops above
  VirtioBlk* device_ = nullptr;
};

}  // namespace acrn
