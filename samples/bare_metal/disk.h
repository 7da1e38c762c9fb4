// A driver for a legacy virtio-blk function (1af4:1001): from its registers to requests.
#pragma once

#include <stdint.h>

#include "pci.h"
#include "queue.h"

enum class Type : uint32_t { kRead = 0, kWrite = 1, kFlush = 4, kGetId = 8 };
enum class Status : uint8_t { kOk = 0, kError = 1, kUnsupported = 2, kNone = 0xff };

// Feature bits, of the device and of the ring.
enum Feature : uint32_t {
  kReadOnly = 1u << 5,
  kCanFlush = 1u << 9,
  kIndirect = 1u << 28,
  kEventIndex = 1u << 29,
};

constexpr uint32_t kSector = 512;  // in which a disk counts, whatever its blocks are

class Disk {
 public:
  explicit Disk(const PciFunction& function);

  // From reset to a device that serves. Of `wanted` it accepts what is offered. Null, or what is wrong.
  const char* start(uint32_t wanted);

  uint32_t offered() const { return offered_; }
  uint32_t accepted() const { return accepted_; }
  uint64_t sectors() const { return sectors_; }
  const PciFunction& function() const { return function_; }
  uint16_t registers() const { return registers_; }
  uint8_t line() const { return line_; }
  Queue& queue() { return queue_; }

  // A request in a chain of its own, which the queue has to have room for; indirect if that was accepted. Its head.
  uint16_t submit(Type type, uint64_t sector, void* data, uint32_t length);
  // Tells the device of what was submitted, if it wants to be told.
  void kick();
  void notify();  // in any case
  // A request that the device is done with, and how it ended. False: there is none yet.
  bool done(uint16_t& head, Status& status);

  // Waits for one request, by looking all the time or asleep until an interrupt comes. kNone: it does not come back.
  // Only who looks all the time can tell, after the limit.
  Status wait(uint32_t limit_ms = 10000);
  void wait_by_interrupt(bool on);
  // One request from its beginning to its end.
  Status run(Type type, uint64_t sector, void* data, uint32_t length);

  // So many GET_IDs, a ring full of them at a time. False: one of them was not OK.
  bool run_many(uint32_t count);

  uint32_t kicks() const { return kicks_; }
  // Reads what the interrupt was for, whereupon the device lowers its line.
  uint8_t acknowledge();

 private:
  struct Header {
    Type type;
    uint32_t priority;
    uint64_t sector;
  };

  const PciFunction function_;
  uint16_t registers_;
  uint8_t line_;
  uint32_t offered_, accepted_, kicks_ = 0;
  uint64_t sectors_;
  bool by_interrupt_ = false;
  Queue queue_;
  // What the device reads and writes besides data. It is there until the chain comes back, hence one for each head.
  Header headers_[Queue::kMaxSize];
  Status statuses_[Queue::kMaxSize];
};

// The first such function, not started yet. Null: there is none.
Disk* find_disk();
