// The virtio seam: a device without a transport. Control calls come one at a time, from any thread, with no
// lock held that the device's loops could want; they may block until a queue has drained.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/mem/gpa.h"
#include "acrn/virtio/inflight_log.h"
#include "acrn/virtio/ring_layout.h"

namespace acrn {

// How a device reaches its driver. Any thread; takes no lock that is held across a wait.
class VirtioInterruptSink {
 public:
  virtual void queue_interrupt(unsigned queue) = 0;
  virtual void config_interrupt() = 0;

 protected:
  ~VirtioInterruptSink() = default;
};

// How a driver, or its VMM, starts a queue.
struct QueueSetup {
  RingPlace ring;
  uint16_t size = 0;        // entries, a power of two in 2..queue_size()
  uint16_t next_avail = 0;  // the index of the first chain to take
  uint16_t next_used = 0;   // the used ring's
  uint16_t used_flags = 0;  // what it says now, perhaps by a device that was there before
  // An eventfd of others whose signals are kicks, also those that came before; it is not read, and stays open until the
  // queue stops. -1: there is none.
  int kick_fd = -1;
  InflightLog* inflight = nullptr;   // outlives the queue's run; null: nobody asks
  std::vector<uint16_t> taken = {};  // chains below next_avail that are to be carried out first, once more
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  virtual uint16_t device_id() const = 0;  // virtio 0.9.5 appendix: 2 is a block device
  virtual uint8_t pci_class() const = 0;   // PCI base class
  virtual uint64_t features() const = 0;   // offered
  virtual unsigned queue_count() const = 0;
  virtual uint16_t queue_size(unsigned queue) const = 0;  // the most ring entries; 0: no such queue
  virtual unsigned config_size() const = 0;               // bytes

  // Before the first control call; the sink outlives the device.
  virtual void connect(VirtioInterruptSink& sink) = 0;

  // Accepted features: a subset of features().
  virtual void set_features(uint64_t accepted) = 0;

  // Starts a queue. False: the ring is not in guest RAM, which has been counted, or the host has no thread for it,
  // which is in the log.
  virtual bool start_queue(unsigned queue, const QueueSetup& setup) = 0;
  // Stops popping and returns when nothing of the queue is in flight: the index of the chain that it would take next,
  // and of its next used entry, which are the same.
  virtual uint16_t stop_queue(unsigned queue) = 0;
  // Every running queue stops popping; returns when nothing is in flight.
  virtual void suspend() = 0;
  // They go on where they were, with guest memory as it is now. One whose ring is not there waits for the next time.
  virtual void resume() = 0;
  // Stops every queue, forgets the features, puts the configuration back. Returns when nothing is in flight.
  virtual void reset() = 0;
  // The same for a driver that another device may go on with: requests that are held stay in the in-flight logs.
  virtual void leave() { reset(); }

  // A kick. Any thread, takes no lock. May serve the queue before it returns, which usually takes up to 40 us.
  // `queue` < queue_count().
  virtual void kick(unsigned queue) = 0;
  // An eventfd whose signal is a kick; -1: the device wants kick() to be called instead.
  virtual int kick_fd(unsigned queue) const = 0;

  // Device configuration: bytes [offset, offset + size) of config_size(). Any thread.
  virtual void read_config(unsigned offset, std::span<uint8_t> to) = 0;
  virtual void write_config(unsigned offset, std::span<const uint8_t> from) = 0;
};

}  // namespace acrn
