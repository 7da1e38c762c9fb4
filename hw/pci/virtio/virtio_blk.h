// VirtioBlk: the block device (virtio device ID 2) without a transport. Owns its backend, its queues and its
// configuration space. Control calls come one at a time under the transport's lock; attach() and resize() come
// from the control side at any time. Reads of the configuration are from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "hw/pci/virtio/blk_queue.h"
#include "hw/pci/virtio/capacity_snapshot.h"

namespace acrn {

struct VirtioBlkOptions {
  std::string name;  // for the log, e.g. "virtio-blk 0:9:0"
  unsigned queues = 1;
  uint16_t queue_size = 64;  // ring entries, a power of two in 2..1024
  uint32_t segments = 0;     // seg_max; 0: as many as fit into the ring
  bool read_only = false;
  bool writeback = false;
  uint32_t logical_block = 512;       // bytes
  uint32_t physical_block = 0;        // bytes; 0: what the backend says
  bool discard = false;               // offer DISCARD and WRITE_ZEROES
  uint32_t max_discard_sectors = 0;   // 512-byte sectors; 0: default
  uint32_t max_discard_segments = 0;  // 0: default
  uint32_t discard_alignment = 0;     // 512-byte sectors; 0: what the backend says
  KickMode kick = KickMode::kAuto;
  std::chrono::milliseconds io_timeout{0};  // until a request that is not done is told of; 0: never
  ErrorPolicy write_errors = ErrorPolicy::kReport, read_errors = ErrorPolicy::kReport;
  uint32_t poll_nanoseconds = 0;   // between two looks at a running queue; 0: looks when it is kicked
  std::string serial = {};         // the ID before attach(), up to 20 bytes
  DeviceEvents* events = nullptr;  // who is told what becomes of the disk; outlives the device
  DeviceTrace* trace = nullptr;    // of what the driver does, with a ring for each queue; null: none; outlives it too
};

// The device's feature bits for these options (device.md 6); pure.
uint64_t virtio_blk_features(const VirtioBlkOptions& options);

// What a driver reads of them, with `granularity` (bytes) of the medium; all 0 where DISCARD is not offered; pure.
DiscardLimits virtio_blk_discard_limits(const VirtioBlkOptions& options, uint32_t granularity);

class VirtioBlk final : public VirtioDevice {
 public:
  static constexpr uint8_t kPciClass = 0x01;  // mass storage

  // Queue n lives on loops[n % loops.size()]. Memory, guest errors and loops outlive the device. It has no medium:
  // capacity 0, every request IOERR, until attach().
  static Result<std::unique_ptr<VirtioBlk>> create(const VirtioBlkOptions& options, const GuestMemory& memory,
                                                   GuestErrors& guest_errors, std::vector<EventLoop*> loops);
  ~VirtioBlk() override;

  // Gives a device without a medium its disk and tells the guest (ACRN's blkrescan). `serial`: up to 20 bytes.
  // Refused while there is one already.
  Result<void> attach(std::unique_ptr<BlockBackend> backend, std::string_view serial);
  bool has_disk() const;
  // Bytes; 0 without a disk. Any thread.
  uint64_t capacity() const { return state_.capacity << VIRTIO_BLK_SECTOR_SHIFT; }
  // Looks how large the disk is now and tells the guest; returns bytes.
  Result<uint64_t> resize();
  // Returns when everything that was written is on stable storage; at once for a read-only disk or none, and if no
  // queue has ever run. Not on a loop of the device.
  Result<void> flush();
  // Tries again what is held of failed requests (ErrorPolicy). Not on a loop of the device.
  void retry_held();
  // What the queue has done. Any thread. `queue` < queue_count().
  QueueStats stats(unsigned queue) const { return queues_[queue]->stats(); }

  uint16_t device_id() const override { return VIRTIO_ID_BLOCK; }
  uint8_t pci_class() const override { return kPciClass; }
  uint64_t features() const override { return features_; }
  unsigned queue_count() const override { return static_cast<unsigned>(queues_.size()); }
  uint16_t queue_size(unsigned queue) const override { return queue < queues_.size() ? queues_[queue]->max_size() : 0; }
  unsigned config_size() const override { return VIRTIO_BLK_CONFIG_SIZE; }
  void connect(VirtioInterruptSink& sink) override;
  void set_features(uint64_t accepted) override;
  bool start_queue(unsigned queue, const QueueSetup& setup) override;
  uint16_t stop_queue(unsigned queue) override;
  void suspend() override;
  void resume() override;
  void reset() override { end_queues(&BlkQueue::stop); }
  void leave() override { end_queues(&BlkQueue::leave); }
  void kick(unsigned queue) override { queues_[queue]->kick(); }
  int kick_fd(unsigned queue) const override { return queues_[queue]->kick_fd(); }
  void read_config(unsigned offset, std::span<uint8_t> to) override;
  void write_config(unsigned offset, std::span<const uint8_t> from) override;

 private:
  VirtioBlk(const VirtioBlkOptions& options, const GuestMemory& memory, GuestErrors& guest_errors);

  // Calls a queue's stop() or suspend() on its loop. In line at most once.
  class DrainTask final : public LoopTask {
   public:
    using Drain = void (BlkQueue::*)(std::function<void()> drained);
    explicit DrainTask(BlkQueue& queue) : queue_(queue) {}
    void post(Drain call, std::latch& drained) {
      drain_ = call;
      drained_ = &drained;
      queue_.loop().enqueue(*this);
    }
    void run() override {
      (queue_.*drain_)([drained = drained_] { drained->count_down(); });
    }

   private:
    BlkQueue& queue_;
    Drain drain_ = nullptr;
    std::latch* drained_ = nullptr;
  };

  void drain(std::span<DrainTask> queues, DrainTask::Drain call);
  void end_queues(DrainTask::Drain call);
  void describe_medium(const BlockInfo& info) ACRN_REQUIRES(mutex_);
  void tell_of_memory();
  template <class... Parts>
  void trace(TraceEvent event, uint8_t detail, unsigned head, unsigned number, const Parts&... parts);
  void notify_config_change();
  void on_queues(const std::function<void(BlkQueue&)>& task);  // each on its loop, one after the other

  const VirtioBlkOptions options_;
  const uint64_t features_;
  const GuestMemory& memory_;
  GuestErrors& guest_errors_;
  BlkState state_;
  std::atomic<VirtioInterruptSink*> interrupts_{nullptr};

  mutable Mutex mutex_;  // rank 2: the configuration space and which disk there is
  VirtioBlkConfig config_ ACRN_GUARDED_BY(mutex_){};
  BlockBackend* attaching_ ACRN_GUARDED_BY(mutex_) = nullptr;  // while attach() runs
  CapacitySnapshot capacity_seen_ ACRN_GUARDED_BY(mutex_);
  std::atomic<uint64_t> told_capacity_{0}, capacity_changes_{0};  // of the events; publish nothing else

  std::unique_ptr<BlockBackend> backend_;  // set once, by attach(); outlives the queues' channels
  std::vector<std::unique_ptr<BlkQueue>> queues_;
  std::atomic<BlkQueue*> last_started_{nullptr};  // its loop has a thread
  std::vector<DrainTask> drain_tasks_;            // of each queue; control calls come one at a time
};

}  // namespace acrn
