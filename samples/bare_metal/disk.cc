#include "disk.h"

#include "clock.h"
#include "cpu.h"

namespace {

// Registers in the I/O ports of BAR0 (virtio 0.9.5 2.2.2); MSI-X, which stays off here, would put two more behind them.
enum Register : uint16_t {
  kHostFeatures = 0x00,
  kGuestFeatures = 0x04,
  kQueuePage = 0x08,
  kQueueSize = 0x0c,
  kQueueSelect = 0x0e,
  kQueueNotify = 0x10,
  kStatus = 0x12,
  kInterruptStatus = 0x13,
  kCapacity = 0x14,  // the device's own configuration begins
};

// 2.2.2.1: what the driver has come to.
constexpr uint8_t kAcknowledge = 1, kDriver = 2, kDriverOk = 4;

// PCI 3.0 6.2.
constexpr uint8_t kCommand = 0x04, kBar0 = 0x10, kInterruptLine = 0x3c;
constexpr uint32_t kIoSpace = 1, kBusMaster = 4, kInterruptDisable = 1 << 10;

}  // namespace

Disk::Disk(const PciFunction& function) : function_(function) {
  // The function answers at its ports, may access RAM, and may use its line. The upper half of the register is the
  // status, where writing a one clears a bit.
  const uint32_t command = function.read32(kCommand) & 0xffff;
  function.write32(kCommand, (command | kIoSpace | kBusMaster) & ~kInterruptDisable);
  registers_ = static_cast<uint16_t>(function.read32(kBar0) & ~3u);  // bit 0: these are ports
  line_ = static_cast<uint8_t>(function.read32(kInterruptLine));     // firmware or the VMM has written it
}

const char* Disk::start(uint32_t wanted) {
  // 2.2.1: the steps, in this order.
  out8(registers_ + kStatus, 0);                       // 1. reset: the device forgets its ring
  out8(registers_ + kStatus, kAcknowledge);            // 2. somebody has seen it
  out8(registers_ + kStatus, kAcknowledge | kDriver);  // 3. and knows how to drive it

  // 4. Features (2.2.2.2), before anything else is done.
  offered_ = in32(registers_ + kHostFeatures);
  accepted_ = offered_ & wanted;
  out32(registers_ + kGuestFeatures, accepted_);

  // Capacity (virtio 0.9.5 appendix D). Not before the features: they may say which fields are there.
  sectors_ = in32(registers_ + kCapacity) | uint64_t{in32(registers_ + kCapacity + 4)} << 32;

  // 5. The queue (2.3). Its size is the device's choice.
  out16(registers_ + kQueueSelect, 0);
  const uint16_t size = in16(registers_ + kQueueSize);
  if (size == 0) return "the device has no queue";
  if (size > Queue::kMaxSize) return "the device's ring is longer than ours";
  queue_.set_up(size, (accepted_ & kEventIndex) != 0);
  out32(registers_ + kQueuePage, queue_.page());
  if (in32(registers_ + kQueuePage) != queue_.page()) return "the device refuses the ring";
  wait_by_interrupt(false);

  out8(registers_ + kStatus, kAcknowledge | kDriver | kDriverOk);  // 6. from here on it serves
  return nullptr;
}

uint16_t Disk::submit(Type type, uint64_t sector, void* data, uint32_t length) {
  // Appendix D: header, data, status. What the device reads comes before what it writes (2.4.1).
  const uint16_t head = queue_.next_head();
  headers_[head] = {type, 0, sector};
  statuses_[head] = Status::kNone;
  Buffer buffers[3] = {{&headers_[head], sizeof(Header), false}};
  unsigned count = 1;
  if (length != 0) buffers[count++] = {data, length, type != Type::kWrite};
  buffers[count++] = {&statuses_[head], 1, true};
  return (accepted_ & kIndirect) != 0 ? queue_.add_indirect(buffers, count) : queue_.add(buffers, count);
}

void Disk::kick() {
  if (queue_.publish()) notify();
}

void Disk::notify() {
  out16(registers_ + kQueueNotify, 0);  // the number of the queue
  ++kicks_;
}

bool Disk::done(uint16_t& head, Status& status) {
  UsedEntry used;
  if (!queue_.take(used)) return false;
  head = static_cast<uint16_t>(used.head);
  status = statuses_[head];
  return true;
}

Status Disk::wait(uint32_t limit_ms) {
  uint16_t head;
  Status status = Status::kNone;
  if (!by_interrupt_) {
    wait_ms(limit_ms, [&] { return done(head, status); });
    return status;
  }
  for (;;) {
    queue_.want_interrupt_after(1);
    if (done(head, status)) return status;
    sleep_until_interrupt();
  }
}

void Disk::wait_by_interrupt(bool on) {
  by_interrupt_ = on;
  if (!on) queue_.want_no_interrupt();
}

Status Disk::run(Type type, uint64_t sector, void* data, uint32_t length) {
  submit(type, sector, data, length);
  kick();
  return wait();
}

bool Disk::run_many(uint32_t count) {
  static char id[20];
  while (count != 0) {
    uint32_t in_flight = 0;
    for (; count != 0 && queue_.free() >= 3; --count, ++in_flight) submit(Type::kGetId, 0, id, sizeof id);
    kick();
    for (; in_flight != 0; --in_flight) {
      if (wait() != Status::kOk) return false;
    }
  }
  return true;
}

uint8_t Disk::acknowledge() { return in8(registers_ + kInterruptStatus); }

Disk* find_disk() {
  constexpr uint32_t kVirtioBlk = 0x1001'1af4;  // 2.1: the device's number, and that of the vendor
  PciFunction function;
  if (!find_function(kVirtioBlk, function)) return nullptr;
  static Disk disk(function);
  return &disk;
}
