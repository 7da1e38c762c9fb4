// RawGuest: a guest with its hands on the ring. Brings the function up like a driver, then leaves every
// descriptor, index and register to its caller, who may follow the rules or break them: the conformance check
// and the tests of hostile guests. One thread.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "dm/loopback/guest_function.h"
#include "dm/loopback/legacy_driver.h"
#include "dm/loopback/loopback_ring.h"

namespace acrn {

class RawGuest {
 public:
  static constexpr std::chrono::milliseconds kPatience{5000};
  static constexpr uint8_t kNoStatus = 0xff;  // what a status byte holds before the device writes it

  // Queue 0 on a fresh ring, DRIVER_OK. Features: these of the offered ones.
  static Result<RawGuest> start(LoopbackMachine& machine, PciAddress address, uint64_t features = ~uint64_t{0},
                                InterruptMode interrupts = InterruptMode::kMsix);
  // Reset, and all of it again.
  Result<void> restart(uint64_t features);
  // Tears queue 0 down and sets it up again, on the same ring.
  void restart_queue();

  GuestFunction& function() { return function_; }
  LoopbackMachine& machine() { return function_.machine(); }
  DriverRing& ring() { return *ring_; }
  uint16_t size() const { return ring_->size(); }
  uint64_t offered() const { return offered_; }
  uint64_t accepted() const { return accepted_; }
  GuestInterrupt& interrupt() { return *interrupt_; }

  // Guest RAM, zeroed, never given back.
  Gpa memory(uint64_t bytes, uint64_t alignment = 16);
  GuestSlice at(Gpa gpa, uint64_t bytes) { return machine().ram(gpa, bytes); }
  uint8_t byte(Gpa gpa) { return at(gpa, 1).load<uint8_t>(0); }
  Gpa header(uint32_t type, uint64_t sector, uint32_t ioprio = 0);
  Gpa status();  // a byte that holds kNoStatus

  void set(uint16_t index, Gpa gpa, uint32_t length, uint16_t flags = 0, uint16_t next = 0);
  // Descriptors first, first + 1, ... chained; each {address, length, device writes}.
  struct Piece {
    Gpa address;
    uint32_t length;
    bool device_writes;
  };
  void chain(uint16_t first, std::span<const Piece> pieces);
  // Makes the chain available; the device sees it at kick() or when it looks.
  void offer(uint16_t head);
  void kick();
  // The next used element; nothing: none came in time.
  std::optional<VringUsedElem> next_used(std::chrono::milliseconds patience = kPatience);
  // offer, kick, next_used.
  std::optional<VringUsedElem> run(uint16_t head);
  // Pieces as one chain from descriptor 0, run.
  std::optional<VringUsedElem> run(std::span<const Piece> pieces);

  // A well-framed request: header, data, status. nullopt: the device did not answer.
  struct Outcome {
    uint8_t status;
    uint32_t written;
  };
  std::optional<Outcome> request(uint32_t type, uint64_t sector, std::span<std::byte> data);
  std::optional<Outcome> flush() { return request(VIRTIO_BLK_T_FLUSH, 0, {}); }
  // DISCARD or WRITE_ZEROES with this list of segments.
  std::optional<Outcome> segments(uint32_t type, std::span<const VirtioBlkDiscardWriteZeroes> list);

  // Device configuration, wherever it is now.
  uint32_t config(unsigned offset, unsigned size);
  void write_config(unsigned offset, unsigned size, uint32_t value);
  uint64_t capacity();

 private:
  RawGuest(const GuestFunction& function, InterruptMode mode) : function_(function), mode_(mode) {}

  GuestFunction function_;
  InterruptMode mode_;
  std::vector<uint8_t> vectors_;
  GuestInterrupt* interrupt_ = nullptr;
  std::optional<DriverRing> ring_;
  uint64_t offered_ = 0, accepted_ = 0;
  uint16_t next_avail_ = 0, next_used_ = 0;
};

}  // namespace acrn
