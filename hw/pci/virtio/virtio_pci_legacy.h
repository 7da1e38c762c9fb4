// VirtioPciLegacy: the PCI function around the legacy registers of a VirtioDevice (virtio 0.9.5 2.1): configuration
// space, MSI-X in BAR1 or one MSI vector, INTx. BAR0 is LegacyRegisters.
//
// Threads: any. Header reads and messages take no lock, INTA# only that of its wire. A reset has the registers'
// control_ first and space_mutex_ under it.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/pci/level_interrupt.h"
#include "acrn/pci/pci_function.h"
#include "hw/pci/config_space.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/virtio/legacy_registers.h"

namespace acrn {

struct VirtioPciOptions {
  bool single_msi = false;                           // --virtio_msi: one MSI vector, no MSI-X
  uint16_t subsystem_vendor = VIRTIO_PCI_VENDOR_ID;  // --windows: 0x108e
};

// What the function's PCI header says (virtio 0.9.5 2.1).
PciIdentity virtio_pci_identity(uint16_t device_id, uint8_t pci_class, const VirtioPciOptions& options);

// The BARs of a function whose device has so many bytes of configuration.
std::array<BarShape, kPciBars> virtio_pci_bars(unsigned config_size, const VirtioPciOptions& options);

class VirtioPciLegacy final : public PciFunction, private FunctionInterrupts {
 public:
  static constexpr unsigned kRegisterBar = LegacyRegisters::kBar, kMsixBar = 1;

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
  std::vector<BarDoorbell> doorbells() const override { return registers_.doorbells(); }
  void reset() override;
  void change_memory(const std::function<void()>& change) override { registers_.change_memory(change); }
  LegacyRegisters& registers() { return registers_; }

 private:
  bool msix_enabled() const override { return msix_.enabled(); }
  void send_vector(uint16_t vector) override { msix_.notify(vector); }
  void isr_raised() override;
  void isr_cleared() override { intx_.update(); }
  bool intx_wanted() const;

  void refresh_interrupts() ACRN_REQUIRES(space_mutex_);
  void deliver_interrupts();

  const bool has_msix_;
  Msi msi_;
  Msix msix_;
  LevelInterrupt intx_;
  std::atomic<bool> intx_disabled_{false};

  mutable Mutex space_mutex_;  // leaf
  ConfigSpace space_ ACRN_GUARDED_BY(space_mutex_);

  LegacyRegisters registers_;
};

}  // namespace acrn
