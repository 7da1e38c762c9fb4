// RemoteDevice: a virtio device behind a vhost-user socket, as a VirtioDevice: a transport around it makes a PCI
// function of whatever server there is. The front end's side of the protocol (QEMU's docs/interop/vhost-user.rst).
//
// Threads: as VirtioDevice says; a server that leaves, or answers with an error, is a device that does nothing, until
// reconnect(). Created, and destroyed, by the composing thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/event/event_loop.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/mem/guest_ram.h"
#include "dm/vhost_user/back_end_socket.h"

namespace acrn {

class RemoteDevice final : public VirtioDevice {
 public:
  // Connects and negotiates. RAM, loop (which takes the interrupts) and server outlive it. Errors: kNoInput: nobody
  // serves there, or no virtio-blk that we can drive.
  static Result<std::unique_ptr<RemoteDevice>> connect(const std::string& path, const MemoryRegion& ram,
                                                       EventLoop& loop);
  ~RemoteDevice() override;

  // A server has taken the place of one that has gone: it gets what that one had, and the queues go on.
  Result<void> reconnect();
  // The configuration when it was connected.
  const VirtioBlkConfig& config() const { return config_; }

  uint16_t device_id() const override { return VIRTIO_ID_BLOCK; }
  uint8_t pci_class() const override { return 0x01; }  // mass storage
  uint64_t features() const override { return features_ & 0xffff'ffff & ~vhost_user::kProtocolFeatures; }
  unsigned queue_count() const override { return static_cast<unsigned>(queues_.size()); }
  uint16_t queue_size(unsigned queue) const override { return queue < queues_.size() ? queue_size_ : 0; }
  unsigned config_size() const override { return VIRTIO_BLK_CONFIG_SIZE; }
  void connect(VirtioInterruptSink& sink) override { sink_ = &sink; }
  void set_features(uint64_t accepted) override { accepted_ = accepted; }
  bool start_queue(unsigned queue, const QueueSetup& setup) override;
  uint16_t stop_queue(unsigned queue) override;
  void suspend() override {}
  void resume() override {}
  void reset() override;
  void kick(unsigned queue) override;
  int kick_fd(unsigned queue) const override { return queues_[queue].kick.fd(); }
  void read_config(unsigned offset, std::span<uint8_t> to) override;
  void write_config(unsigned offset, std::span<const uint8_t> from) override;

 private:
  struct Queue {
    UniqueFd kick, call;
    std::unique_ptr<FdWatch> call_watch;
    std::optional<QueueSetup> setup;  // while it runs
  };

  RemoteDevice(std::string path, const MemoryRegion& ram, EventLoop& loop)
      : path_(std::move(path)), ram_(ram), loop_(loop) {}
  Result<void> open() ACRN_REQUIRES(mutex_);
  Result<void> open_queues() ACRN_REQUIRES(mutex_);
  Result<void> open_back_channel() ACRN_REQUIRES(mutex_);
  void take_back_messages();
  Result<void> prepare() ACRN_REQUIRES(mutex_);
  Result<void> start(unsigned index, uint16_t base) ACRN_REQUIRES(mutex_);

  bool has(uint64_t feature) const { return (protocol_features_ & feature) != 0; }

  const std::string path_;
  const MemoryRegion& ram_;
  EventLoop& loop_;
  UniqueFd back_channel_;  // the server's messages
  std::unique_ptr<FdWatch> back_watch_;
  uint16_t queue_size_ = 64;  // ring entries
  VirtioBlkConfig config_{};  // when it was connected
  std::atomic<VirtioInterruptSink*> sink_{nullptr};
  uint64_t features_ = 0, protocol_features_ = 0;
  std::atomic<uint64_t> accepted_{0};

  Mutex mutex_;                                                  // rank 2: one message at a time
  std::optional<BackEndSocket> server_ ACRN_GUARDED_BY(mutex_);  // since connect()
  bool prepared_ ACRN_GUARDED_BY(mutex_) = false;                // the server has features, memory and in-flight area
  vhost_user::InflightDescription inflight_ ACRN_GUARDED_BY(mutex_){};
  UniqueFd inflight_file_ ACRN_GUARDED_BY(mutex_);
  std::vector<Queue> queues_;
};

}  // namespace acrn
