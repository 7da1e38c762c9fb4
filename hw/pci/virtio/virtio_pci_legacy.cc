#include "hw/pci/virtio/virtio_pci_legacy.h"

#include <utility>

namespace acrn {
namespace {

constexpr uint8_t kIntA = 1;

}  // namespace

PciIdentity virtio_pci_identity(uint16_t device_id, uint8_t pci_class, const VirtioPciOptions& options) {
  return {.vendor = VIRTIO_PCI_VENDOR_ID,
          .device = static_cast<uint16_t>(VIRTIO_PCI_LEGACY_DEVICE_ID_BASE + device_id - 1),
          .class_code = uint32_t{pci_class} << 16,
          .subsystem_vendor = options.subsystem_vendor,
          .subsystem = device_id,
          .interrupt_pin = kIntA};
}

std::array<BarShape, kPciBars> virtio_pci_bars(unsigned config_size, const VirtioPciOptions& options) {
  std::array<BarShape, kPciBars> bars{};
  bars[VirtioPciLegacy::kRegisterBar] = {BarKind::kIo, LegacyRegisters::bar_size(config_size)};
  if (!options.single_msi) bars[VirtioPciLegacy::kMsixBar] = {BarKind::kMemory32, Msix::kBarSize};
  return bars;
}

VirtioPciLegacy::VirtioPciLegacy(std::unique_ptr<VirtioDevice> device, const VirtioPciOptions& options,
                                 GuestErrors& guest_errors, IrqPin& pin, MsiSink& msi)
    : has_msix_(!options.single_msi),
      msi_(msi),
      msix_(LegacyRegisters::vectors(*device), msi),
      intx_(pin, [this] { return intx_wanted(); }),
      space_(virtio_pci_identity(device->device_id(), device->pci_class(), options)),
      registers_(std::move(device), guest_errors, *this) {
  MutexLock lock(space_mutex_);
  const auto bars = virtio_pci_bars(registers_.config_size(), options);
  for (unsigned bar = 0; bar < kPciBars; bar++) {
    if (bars[bar].kind != BarKind::kAbsent) space_.add_bar(bar, bars[bar]);
  }
  if (has_msix_) {
    msix_.add_capability(space_, kMsixBar);
  } else {
    msi_.add_capability(space_);
  }
  space_.seal();
}

VirtioPciLegacy::~VirtioPciLegacy() = default;

uint32_t VirtioPciLegacy::config_read(unsigned offset, unsigned size) {
  MutexLock lock(space_mutex_);
  uint32_t value = space_.read(offset, size);
  for (unsigned i = 0; i < size; i++) {
    // The line is shown by the first byte of the status register (PCI 3.0 6.2.3).
    if (offset + i == PCI_STATUS && registers_.isr_pending()) value |= uint32_t{PCI_STATUS_INTERRUPT} << (8 * i);
  }
  return value;
}

void VirtioPciLegacy::config_write(unsigned offset, unsigned size, uint32_t value) {
  MutexLock lock(space_mutex_);
  space_.write(offset, size, value);
  refresh_interrupts();
  lock.unlock();
  deliver_interrupts();
}

void VirtioPciLegacy::refresh_interrupts() {
  intx_disabled_ = (space_.command() & PCI_COMMAND_INTX_DISABLE) != 0;
  msi_.refresh(space_);
  msix_.refresh(space_);
}

// What a change of masks lets through. Not under the lock: it calls out.
void VirtioPciLegacy::deliver_interrupts() {
  msix_.send_unmasked();
  intx_.update();
}

BarShape VirtioPciLegacy::bar_shape(unsigned bar) const {
  MutexLock lock(space_mutex_);
  return bar < kPciBars ? space_.bar_shape(bar) : BarShape{};
}

std::optional<uint64_t> VirtioPciLegacy::bar_address(unsigned bar) const {
  MutexLock lock(space_mutex_);
  return space_.bar_address(bar);
}

void VirtioPciLegacy::reset() {
  registers_.reset([this] {
    MutexLock lock(space_mutex_);
    space_.reset();
    msix_.reset();
    refresh_interrupts();
    lock.unlock();
    deliver_interrupts();
  });
}

uint64_t VirtioPciLegacy::bar_read(unsigned bar, uint64_t offset, unsigned size) {
  if (bar == kRegisterBar) return registers_.read(offset, size);
  if (bar == kMsixBar && has_msix_) return msix_.bar_read(offset, size);
  return ~uint64_t{0};
}

void VirtioPciLegacy::bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) {
  if (bar == kRegisterBar) registers_.write(offset, size, static_cast<uint32_t>(value));
  if (bar == kMsixBar && has_msix_) msix_.bar_write(offset, size, value);
}

void VirtioPciLegacy::isr_raised() {
  if (msi_.enabled()) {
    msi_.notify();
  } else {
    intx_.update();
  }
}

bool VirtioPciLegacy::intx_wanted() const {
  return registers_.isr_pending() && !intx_disabled_ && !msi_.enabled() && !msix_.enabled();
}

}  // namespace acrn
