// LoopbackMachine: the board of the in-process guest. RAM, the PCI bus, and interrupts that a "CPU" (whatever
// thread calls in()/out()) can sleep on. The guest side reaches a device through these and nothing else.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "acrn/base/result.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "dm/base/event.h"
#include "dm/machine/pci_bus.h"

namespace acrn {

// One interrupt as the guest's CPU sees it: it wakes a thread that sleeps, and is counted.
struct GuestInterrupt {
  Event event;
  std::atomic<uint64_t> count{0};

  void deliver() {
    count.fetch_add(1, std::memory_order_relaxed);
    event.signal();
  }
};

// A function's INTA# wire, and the level-triggered interrupt that it raises.
class LoopbackPin final : public IrqPin {
 public:
  void set_level(bool asserted) override;
  bool level() const { return level_.load(std::memory_order_acquire); }
  GuestInterrupt& interrupt() { return interrupt_; }

 private:
  std::atomic<bool> level_{false};
  GuestInterrupt interrupt_;
};

class LoopbackMachine final : private MsiSink {
 public:
  static constexpr uint64_t kRamBase = 0x10'0000;       // what lies below is left out, to catch address 0
  static constexpr uint64_t kMsiAddress = 0xfee0'0000;  // a message's data is its vector, 0..255
  static constexpr uint16_t kFirstIoBar = 0x2000;
  static constexpr uint64_t kFirstMemoryBar = 0x8000'0000;

  static Result<std::unique_ptr<LoopbackMachine>> create(uint64_t ram_bytes);
  // On RAM of the caller, at kRamBase.
  explicit LoopbackMachine(MemoryRegion ram);

  // The host's side.
  const GuestMemory& memory() const { return memory_; }
  PciBus& bus() { return bus_; }
  MsiSink& msi() { return *this; }
  LoopbackPin& pin(PciAddress function) { return pins_[function.slot * 8u + function.function]; }

  // The guest CPU's side. Unclaimed reads are all ones.
  uint32_t in(uint16_t port, unsigned size);
  void out(uint16_t port, unsigned size, uint32_t value);
  uint64_t read_mmio(uint64_t address, unsigned size);
  void write_mmio(uint64_t address, unsigned size, uint64_t value);
  uint32_t config_read(PciAddress function, unsigned offset, unsigned size);
  void config_write(PciAddress function, unsigned offset, unsigned size, uint32_t value);
  GuestInterrupt& vector(uint8_t number) { return vectors_[number]; }

  // Guest RAM, never given back. `alignment` is a power of two. One thread.
  std::optional<Gpa> allocate(uint64_t bytes, uint64_t alignment);
  GuestSlice ram(Gpa gpa, uint64_t bytes) const;  // what allocate() gave out
  uint8_t allocate_vector() { return next_vector_++; }
  uint16_t allocate_io(uint32_t size);
  uint64_t allocate_memory(uint32_t size);

 private:
  void send(uint64_t address, uint32_t data) override;

  std::shared_ptr<const MemoryMap> map_;
  GuestMemory memory_;
  PciBus bus_;
  std::array<LoopbackPin, 256> pins_;
  std::array<GuestInterrupt, 256> vectors_;
  uint64_t next_ram_ = kRamBase;
  uint8_t next_vector_ = 0x20;
  uint32_t next_io_ = kFirstIoBar;
  uint64_t next_memory_ = kFirstMemoryBar;
};

}  // namespace acrn
