// LegacyRegisters: the registers of a legacy virtio device in its BAR0 (virtio 0.9.5 2.2.2): the virtio header and,
// behind it, the device's configuration. What is PCI around them is behind the seam FunctionInterrupts, so a machine
// that has its own configuration space and MSI-X table uses them without VirtioPciLegacy.
//
// Threads: any. Reads, kicks and interrupts of queues take no lock. Writes that control the device come one at a time
// under control_; that lock is held while a reset waits for requests in flight, which is safe because nothing that a
// queue's loop does ever takes it (docs/adr/0003).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/pci/pci_function.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {

// The interrupts of the PCI function around the registers. Any thread; takes no lock that is held across an access to
// the registers.
class FunctionInterrupts {
 public:
  virtual bool msix_enabled() const = 0;
  // While MSI-X is enabled. `vector` < LegacyRegisters::vectors().
  virtual void send_vector(uint16_t vector) = 0;
  // While it is not: a bit of the ISR has been set, perhaps not the first one; the driver has read the ISR, or a reset
  // has cleared it.
  virtual void isr_raised() = 0;
  virtual void isr_cleared() = 0;

 protected:
  ~FunctionInterrupts() = default;
};

class LegacyRegisters final : private VirtioInterruptSink {
 public:
  static constexpr unsigned kBar = 0;

  // Bytes of the BAR, a power of two, for so many bytes of device configuration.
  static uint32_t bar_size(unsigned config_size);
  // An interrupt for each queue, and one for changes of the configuration.
  static unsigned vectors(const VirtioDevice& device) { return device.queue_count() + 1; }

  // Guest errors and interrupts outlive the registers.
  LegacyRegisters(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors, FunctionInterrupts& interrupts);
  ~LegacyRegisters();

  // An access of 1, 2 or 4 bytes; outside the BAR, and of another size, reads are all ones and writes are dropped.
  uint64_t read(uint64_t offset, unsigned size);
  void write(uint64_t offset, unsigned size, uint32_t value);

  unsigned vectors() const { return vectors_; }
  unsigned config_size() const { return device_->config_size(); }  // bytes
  // Whether the ISR asks for an interrupt.
  bool isr_pending() const { return isr_ != 0; }
  // The queues' doorbells, the same for the registers' whole life.
  std::vector<BarDoorbell> doorbells() const;

  // As if the driver had written 0 to the status; then runs `rest`, before any other control of the device.
  void reset(const std::function<void()>& rest = [] {});
  // The queues take nothing from suspend(), which returns when nothing is in flight, to resume() or a reset. The driver
  // makes no access in between.
  void suspend();
  void resume();
  // See PciFunction::change_memory().
  void change_memory(const std::function<void()>& change);

 private:
  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  void raise(uint8_t isr_bit, uint16_t vector);

  uint8_t header_byte(unsigned offset);
  void header_write(unsigned offset, unsigned size, uint32_t value);
  void write_guest_features(uint32_t value) ACRN_REQUIRES(control_);
  void write_queue_pfn(uint32_t pfn) ACRN_REQUIRES(control_);
  void write_status(uint8_t value) ACRN_REQUIRES(control_);
  void reset_device() ACRN_REQUIRES(control_);
  unsigned config_offset() const;

  // What a driver selects and sets; written under control_, read by anyone.
  struct Queue {
    std::atomic<uint32_t> pfn{0};
    std::atomic<uint16_t> vector{VIRTIO_MSI_NO_VECTOR};
  };

  GuestErrors& guest_errors_;
  FunctionInterrupts& interrupts_;
  const uint32_t bar_size_;
  const unsigned vectors_;
  std::atomic<uint8_t> isr_{0};
  std::atomic<uint8_t> status_{0};
  std::atomic<uint16_t> queue_select_{0};
  std::atomic<uint32_t> guest_features_{0};
  std::atomic<uint16_t> config_vector_{VIRTIO_MSI_NO_VECTOR};
  std::vector<Queue> queues_;

  Mutex control_;        // rank 1
  Mutex config_change_;  // rank 2: held while a change of the configuration interrupts, and while a reset ends that
  bool suspended_ ACRN_GUARDED_BY(control_) = false;
  std::unique_ptr<VirtioDevice> device_;
};

}  // namespace acrn
