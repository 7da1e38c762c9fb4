// VirtioPciLegacy: the legacy (0.9.5) PCI transport around a VirtioDevice: configuration space, the registers in
// BAR0, MSI-X in BAR1 or one MSI vector, INTx.
//
// Threads: whichever vCPU accesses the function. Header reads, kicks and messages take no lock, INTA# only that of its
// wire. Writes that control the device come one at a time under control_; that lock is held while a reset waits for
// requests in flight, which is safe because nothing that a queue's loop does ever takes it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/pci/level_interrupt.h"
#include "acrn/pci/pci_function.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "acrn/virtio/virtio_spec.h"
#include "hw/pci/config_space.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"

namespace acrn {

struct VirtioPciOptions {
  bool single_msi = false;                           // --virtio_msi: one MSI vector, no MSI-X
  uint16_t subsystem_vendor = VIRTIO_PCI_VENDOR_ID;  // --windows: 0x108e
};

// What the function's PCI header says (virtio 0.9.5 2.1).
PciIdentity virtio_pci_identity(uint16_t device_id, uint8_t pci_class, const VirtioPciOptions& options);

// The BARs of a function whose device has so many bytes of configuration.
std::array<BarShape, kPciBars> virtio_pci_bars(unsigned config_size, const VirtioPciOptions& options);

class VirtioPciLegacy final : public PciFunction, private VirtioInterruptSink {
 public:
  static constexpr unsigned kRegisterBar = 0, kMsixBar = 1;

  // Pin, sink and guest errors outlive the function.
  VirtioPciLegacy(std::unique_ptr<VirtioDevice> device, const VirtioPciOptions& options, GuestErrors& guest_errors,
                  IrqPin& pin, MsiSink& msi);
  ~VirtioPciLegacy() override;

  uint32_t config_read(unsigned offset, unsigned size) override;
  void config_write(unsigned offset, unsigned size, uint32_t value) override;
  BarShape bar_shape(unsigned bar) const override;
  std::optional<uint64_t> bar_address(unsigned bar) const override;
  uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) override;
  void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) override;
  std::vector<BarDoorbell> doorbells() const override;
  void reset() override;
  void change_memory(const std::function<void()>& change) override;

 private:
  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  void raise(uint8_t isr_bit, uint16_t vector);
  bool intx_wanted() const;

  uint64_t register_read(uint64_t offset, unsigned size);
  uint8_t header_byte(unsigned offset);
  void register_write(uint64_t offset, unsigned size, uint32_t value);
  void header_write(unsigned offset, unsigned size, uint32_t value);
  void write_guest_features(uint32_t value) ACRN_REQUIRES(control_);
  void write_queue_pfn(uint32_t pfn) ACRN_REQUIRES(control_);
  void write_status(uint8_t value) ACRN_REQUIRES(control_);
  void reset_device() ACRN_REQUIRES(control_);
  void refresh_interrupts() ACRN_REQUIRES(space_mutex_);
  void deliver_interrupts();
  unsigned config_offset() const;

  // What a driver selects and sets; written under control_, read by anyone.
  struct Queue {
    std::atomic<uint32_t> pfn{0};
    std::atomic<uint16_t> vector{VIRTIO_MSI_NO_VECTOR};
  };

  GuestErrors& guest_errors_;
  const uint32_t register_bar_size_;
  const bool has_msix_;
  Msi msi_;
  Msix msix_;
  LevelInterrupt intx_;
  std::atomic<bool> intx_disabled_{false};
  std::atomic<uint8_t> isr_{0};
  std::atomic<uint8_t> status_{0};
  std::atomic<uint16_t> queue_select_{0};
  std::atomic<uint32_t> guest_features_{0};
  std::atomic<uint16_t> config_vector_{VIRTIO_MSI_NO_VECTOR};
  std::vector<Queue> queues_;

  mutable Mutex space_mutex_;  // leaf
  ConfigSpace space_ ACRN_GUARDED_BY(space_mutex_);

  Mutex control_;  // rank 1
  std::unique_ptr<VirtioDevice> device_;
};

}  // namespace acrn
