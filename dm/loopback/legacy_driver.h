// LegacyDriver: a legacy virtio-blk driver as a kernel has one: reset, acknowledge, features, queue by PFN,
// interrupts by MSI-X, MSI or INTx, DRIVER_OK. DriverQueue: one of its queues, with a fixed set of requests
// ("tags") that each own a header, a status byte and a data buffer in guest RAM. One thread per queue.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "acrn/virtio/virtio_spec.h"
#include "dm/loopback/guest_function.h"
#include "dm/loopback/loopback_ring.h"

namespace acrn {

enum class InterruptMode : uint8_t { kIntx, kMsi, kMsix };

struct DriverOptions {
  InterruptMode interrupts = InterruptMode::kMsix;  // falls back to what the function has
  uint64_t features = ~uint64_t{0};                 // accepted: these of the offered ones
  unsigned depth = 32;                              // requests in flight per queue
  uint32_t max_bytes = 64 * 1024;                   // data buffer of each request
  std::chrono::milliseconds patience{60'000};       // how long a request may take before the driver gives up
};

struct DriverCompletion {
  uint16_t tag;
  uint8_t status;
  uint32_t written;
};

class DriverQueue {
 public:
  struct Counters {
    uint64_t kicks = 0, interrupts = 0;
  };

  unsigned depth() const { return static_cast<unsigned>(tags_.size()); }
  DriverRing& ring() { return ring_; }
  Counters counters() const { return {kicks_, interrupts_}; }
  GuestSlice data(uint16_t tag) const { return tags_[tag].data; }

  // Puts a request into the ring: `bytes` of the tag's buffer from (device_reads) or to the device.
  void start(uint16_t tag, uint32_t type, uint64_t sector, uint32_t bytes, bool device_reads);
  // Shows the device what was started, and kicks it if it wants that.
  void kick();
  // Hands over what is done; sleeps on the interrupt until something is. False: patience ended, or the device
  // returned something that it never got. `done` takes a DriverCompletion and may start().
  template <class Done>
  bool reap(Done&& done) {
    for (;;) {
      ring_.disable_interrupts();
      const bool any = take_all(done);
      if (ring_.broken()) return false;
      if (any) return true;
      if (!ring_.enable_interrupts() && !wait_for_interrupt()) return false;
    }
  }
  // The same without waiting.
  template <class Done>
  bool look(Done&& done) {
    take_all(done);
    return !ring_.broken();
  }

 private:
  template <class Done>
  bool take_all(Done& done) {
    bool any = false;
    while (const auto used = ring_.take_used()) {
      any = true;
      done(DriverCompletion{used->token, tags_[used->token].status_memory.load<uint8_t>(0), used->written});
    }
    return any;
  }

  friend class LegacyDriver;

  struct Tag {
    Gpa header{}, status{}, data_address{};
    GuestSlice header_memory, status_memory, data;
  };

  DriverQueue(const GuestFunction& function, unsigned index, DriverRing ring, std::chrono::milliseconds patience)
      : function_(&function), index_(index), ring_(std::move(ring)), patience_(patience) {}

  bool wait_for_interrupt();
  void place_status(Tag& tag, uint32_t bytes);

  const GuestFunction* function_;  // the driver's
  unsigned index_;
  DriverRing ring_;
  std::chrono::milliseconds patience_;
  GuestInterrupt* interrupt_ = nullptr;
  bool acknowledge_isr_ = false;  // INTx and MSI: read the ISR
  bool compact_ = false;          // two descriptors a request
  std::vector<Tag> tags_;
  uint64_t kicks_ = 0, interrupts_ = 0;
};

class LegacyDriver {
 public:
  // Brings the function up to DRIVER_OK.
  static Result<std::unique_ptr<LegacyDriver>> start(LoopbackMachine& machine, PciAddress address,
                                                     const DriverOptions& options);
  // Resets the device.
  ~LegacyDriver();
  LegacyDriver(const LegacyDriver&) = delete;
  LegacyDriver& operator=(const LegacyDriver&) = delete;

  GuestFunction& function() { return function_; }
  uint64_t offered() const { return offered_; }
  uint64_t accepted() const { return accepted_; }
  bool accepted(unsigned bit) const { return (accepted_ & feature(bit)) != 0; }
  InterruptMode interrupt_mode() const { return mode_; }
  unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  DriverQueue& queue(unsigned index) { return *queues_[index]; }
  GuestInterrupt& config_change() { return *config_interrupt_; }

  // The device's configuration, byte by byte as Linux' legacy driver reads it.
  VirtioBlkConfig config() const;
  uint64_t capacity() const { return config().capacity; }  // 512-byte sectors
  unsigned config_offset() const;

  // One request on queue 0, start to end. Returns the status byte; `data` goes out or comes in.
  Result<uint8_t> read(uint64_t sector, std::span<std::byte> data);
  Result<uint8_t> write(uint64_t sector, std::span<const std::byte> data);
  Result<uint8_t> flush();
  Result<std::string> serial();
  Result<uint8_t> discard(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags);

 private:
  explicit LegacyDriver(const GuestFunction& function) : function_(function) {}
  Result<void> bring_up(const DriverOptions& options);
  Result<void> set_up_queue(unsigned index, const DriverOptions& options);
  Result<void> allocate_tags(DriverQueue& queue, const DriverOptions& options);
  void route_interrupts(InterruptMode wanted);
  Result<DriverCompletion> run(uint32_t type, uint64_t sector, uint32_t bytes, bool device_reads);

  GuestFunction function_;
  uint64_t offered_ = 0, accepted_ = 0;
  InterruptMode mode_ = InterruptMode::kIntx;
  std::vector<uint8_t> vectors_;  // MSI-X: one per table entry; MSI: one
  GuestInterrupt* config_interrupt_ = nullptr;
  std::vector<std::unique_ptr<DriverQueue>> queues_;
};

}  // namespace acrn
