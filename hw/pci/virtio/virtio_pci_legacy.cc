#include "hw/pci/virtio/virtio_pci_legacy.h"

#include <algorithm>
#include <bit>

namespace acrn {
namespace {

constexpr uint8_t kIntA = 1;

uint8_t byte_of(uint32_t value, unsigned index) { return static_cast<uint8_t>(value >> (8 * index)); }

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
  bars[VirtioPciLegacy::kRegisterBar] = {BarKind::kIo, std::bit_ceil(VIRTIO_PCI_CONFIG_OFF_MSIX + config_size)};
  if (!options.single_msi) bars[VirtioPciLegacy::kMsixBar] = {BarKind::kMemory32, Msix::kBarSize};
  return bars;
}

VirtioPciLegacy::VirtioPciLegacy(std::unique_ptr<VirtioDevice> device, const VirtioPciOptions& options,
                                 GuestErrors& guest_errors, IrqPin& pin, MsiSink& msi)
    : guest_errors_(guest_errors),
      register_bar_size_(virtio_pci_bars(device->config_size(), options)[kRegisterBar].size),
      has_msix_(!options.single_msi),
      msi_(msi),
      msix_(device->queue_count() + 1, msi),
      intx_(pin, [this] { return intx_wanted(); }),
      queues_(device->queue_count()),
      space_(virtio_pci_identity(device->device_id(), device->pci_class(), options)),
      device_(std::move(device)) {
  MutexLock lock(space_mutex_);
  const auto bars = virtio_pci_bars(device_->config_size(), options);
  for (unsigned bar = 0; bar < kPciBars; bar++) {
    if (bars[bar].kind != BarKind::kAbsent) space_.add_bar(bar, bars[bar]);
  }
  if (has_msix_) {
    msix_.add_capability(space_, kMsixBar);
  } else {
    msi_.add_capability(space_);
  }
  space_.seal();
  device_->connect(*this);
}

VirtioPciLegacy::~VirtioPciLegacy() = default;

uint32_t VirtioPciLegacy::config_read(unsigned offset, unsigned size) {
  MutexLock lock(space_mutex_);
  uint32_t value = space_.read(offset, size);
  for (unsigned i = 0; i < size; i++) {
    // The line is shown by the first byte of the status register (PCI 3.0 6.2.3).
    if (offset + i == PCI_STATUS && isr_ != 0) value |= uint32_t{PCI_STATUS_INTERRUPT} << (8 * i);
  }
  return value;
}

void VirtioPciLegacy::config_write(unsigned offset, unsigned size, uint32_t value) {
  MutexLock lock(space_mutex_);
  space_.write(offset, size, value);
  refresh_interrupts();
  lock.unlock();
  deliver_interrupts();
  lock.lock();
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

std::vector<BarDoorbell> VirtioPciLegacy::doorbells() const {
  std::vector<BarDoorbell> doorbells;
  for (unsigned queue = 0; queue < queues_.size(); queue++) {
    doorbells.push_back({.bar = kRegisterBar,
                         .offset = VIRTIO_PCI_QUEUE_NOTIFY,
                         .size = 2,
                         .data = queue,
                         .event_fd = device_->kick_fd(queue)});
  }
  return doorbells;
}

void VirtioPciLegacy::reset() {
  MutexLock control(control_);
  reset_device();
  MutexLock lock(space_mutex_);
  space_.reset();
  msix_.reset();
  refresh_interrupts();
  lock.unlock();
  deliver_interrupts();
  lock.lock();
}

void VirtioPciLegacy::change_memory(const std::function<void()>& change) {
  MutexLock lock(control_);
  device_->suspend();
  change();
  device_->resume();
}

uint64_t VirtioPciLegacy::bar_read(unsigned bar, uint64_t offset, unsigned size) {
  if (bar == kRegisterBar) return register_read(offset, size);
  if (bar == kMsixBar && has_msix_) return msix_.bar_read(offset, size);
  return ~uint64_t{0};
}

void VirtioPciLegacy::bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) {
  if (bar == kRegisterBar) register_write(offset, size, static_cast<uint32_t>(value));
  if (bar == kMsixBar && has_msix_) msix_.bar_write(offset, size, value);
}

// Where the device's configuration begins: behind the two vector registers while MSI-X is on (0.9.5 2.2.2).
unsigned VirtioPciLegacy::config_offset() const {
  return msix_.enabled() ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX;
}

uint64_t VirtioPciLegacy::register_read(uint64_t offset, unsigned size) {
  if (size > 4 || offset > register_bar_size_ - size) return ~uint64_t{0};
  const unsigned config = config_offset();
  uint8_t bytes[4] = {};
  for (unsigned i = 0; i < size; i++) {
    const auto at = static_cast<unsigned>(offset) + i;
    if (at < config) {
      bytes[i] = header_byte(at);
    } else {
      device_->read_config(at - config, {bytes + i, size - i});
      break;
    }
  }
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

uint8_t VirtioPciLegacy::header_byte(unsigned offset) {
  const uint16_t selected = queue_select_;
  const bool exists = selected < queues_.size();
  switch (offset & ~3u) {
    case VIRTIO_PCI_HOST_FEATURES: return byte_of(static_cast<uint32_t>(device_->features()), offset & 3);
    case VIRTIO_PCI_GUEST_FEATURES: return byte_of(guest_features_, offset & 3);
    case VIRTIO_PCI_QUEUE_PFN: return exists ? byte_of(queues_[selected].pfn, offset & 3) : 0;
    default: break;
  }
  switch (offset & ~1u) {
    case VIRTIO_PCI_QUEUE_NUM: return byte_of(device_->queue_size(selected), offset & 1);
    case VIRTIO_PCI_QUEUE_SEL: return byte_of(selected, offset & 1);
    case VIRTIO_MSI_CONFIG_VECTOR: return byte_of(config_vector_, offset & 1);
    case VIRTIO_MSI_QUEUE_VECTOR:
      return byte_of(exists ? queues_[selected].vector.load() : VIRTIO_MSI_NO_VECTOR, offset & 1);
    default: break;
  }
  if (offset == VIRTIO_PCI_STATUS) return status_;
  if (offset == VIRTIO_PCI_ISR) {
    const uint8_t pending = isr_.exchange(0);
    if (pending != 0) intx_.update();
    return pending;
  }
  return 0;  // QUEUE_NOTIFY is write-only
}

void VirtioPciLegacy::register_write(uint64_t offset, unsigned size, uint32_t value) {
  if (size > 4 || offset > register_bar_size_ - size) return;
  const auto at = static_cast<unsigned>(offset);
  if (at == VIRTIO_PCI_QUEUE_NOTIFY && size == 2) {
    const auto queue = static_cast<uint16_t>(value);
    if (queue < queues_.size()) return device_->kick(queue);
    return guest_errors_.record(GuestRule::kNotifyUnknownQueue, queue);
  }
  const unsigned config = config_offset();
  if (at < config) return header_write(at, size, value);
  const uint8_t bytes[4] = {byte_of(value, 0), byte_of(value, 1), byte_of(value, 2), byte_of(value, 3)};
  device_->write_config(at - config, {bytes, size});
}

void VirtioPciLegacy::header_write(unsigned offset, unsigned size, uint32_t value) {
  MutexLock lock(control_);
  const auto vector = [&](uint32_t wanted) {
    if (wanted < msix_.vectors() || wanted == VIRTIO_MSI_NO_VECTOR) return static_cast<uint16_t>(wanted);
    guest_errors_.record(GuestRule::kVectorOutOfRange, wanted);
    return VIRTIO_MSI_NO_VECTOR;
  };
  const auto at = [&](unsigned field, unsigned width) { return offset == field && size == width; };
  if (at(VIRTIO_PCI_GUEST_FEATURES, 4)) {
    write_guest_features(value);
  } else if (at(VIRTIO_PCI_QUEUE_PFN, 4)) {
    write_queue_pfn(value);
  } else if (at(VIRTIO_PCI_QUEUE_SEL, 2) || at(VIRTIO_PCI_QUEUE_SEL, 1)) {
    if (size == 1) guest_errors_.record(GuestRule::kRegisterWidth, offset);  // what is meant is plain (docs/adr/0017)
    queue_select_ = static_cast<uint16_t>(value & (size == 1 ? 0xff : 0xffff));
  } else if (at(VIRTIO_PCI_STATUS, 1)) {
    write_status(static_cast<uint8_t>(value));
  } else if (at(VIRTIO_MSI_CONFIG_VECTOR, 2)) {
    config_vector_ = vector(value);
  } else if (at(VIRTIO_MSI_QUEUE_VECTOR, 2)) {
    if (const uint16_t queue = queue_select_; queue < queues_.size()) queues_[queue].vector = vector(value);
  } else if (at(VIRTIO_PCI_HOST_FEATURES, 4) || at(VIRTIO_PCI_QUEUE_NUM, 2) || at(VIRTIO_PCI_ISR, 1)) {
    guest_errors_.record(GuestRule::kRegisterReadOnly, offset);
  } else {
    guest_errors_.record(GuestRule::kRegisterWidth, offset);
  }
}

void VirtioPciLegacy::write_guest_features(uint32_t value) {
  if ((status_ & VIRTIO_CONFIG_S_DRIVER_OK) != 0) return guest_errors_.record(GuestRule::kFeaturesAfterDriverOk, value);
  const auto offered = static_cast<uint32_t>(device_->features());
  if ((value & ~offered) != 0) guest_errors_.record(GuestRule::kFeatureNotOffered, value & ~offered);
  guest_features_ = value & offered;
  device_->set_features(guest_features_);
}

void VirtioPciLegacy::write_queue_pfn(uint32_t pfn) {
  const uint16_t selected = queue_select_;
  if (selected >= queues_.size()) return;
  Queue& queue = queues_[selected];
  if (queue.pfn != 0) device_->stop_queue(selected);
  queue.pfn = 0;
  if (pfn == 0) return;
  if (device_->start_queue(selected, Gpa{uint64_t{pfn} << VIRTIO_PCI_QUEUE_ADDR_SHIFT})) queue.pfn = pfn;
}

void VirtioPciLegacy::write_status(uint8_t value) {
  if (value == 0) return reset_device();
  status_ = value;
}

void VirtioPciLegacy::reset_device() {
  device_->reset();  // returns when nothing is in flight
  status_ = 0;
  guest_features_ = 0;
  queue_select_ = 0;
  config_vector_ = VIRTIO_MSI_NO_VECTOR;
  for (Queue& queue : queues_) {
    queue.pfn = 0;
    queue.vector = VIRTIO_MSI_NO_VECTOR;
  }
  isr_ = 0;
  intx_.update();
}

void VirtioPciLegacy::queue_interrupt(unsigned queue) { raise(VIRTIO_PCI_ISR_QUEUE, queues_[queue].vector); }

void VirtioPciLegacy::config_interrupt() {
  // Who has not started yet will read the configuration as it is now. The queue's bit comes with it, as drivers that
  // were written against QEMU expect (docs/adr/0017).
  if ((status_ & VIRTIO_CONFIG_S_DRIVER_OK) != 0) raise(VIRTIO_PCI_ISR_CONFIG | VIRTIO_PCI_ISR_QUEUE, config_vector_);
}

// With MSI-X each cause has its vector and the ISR is not used; without, the ISR tells a shared interrupt's causes.
void VirtioPciLegacy::raise(uint8_t isr_bit, uint16_t vector) {
  if (msix_.enabled()) {
    if (vector != VIRTIO_MSI_NO_VECTOR) msix_.notify(vector);
    return;
  }
  isr_ |= isr_bit;
  if (msi_.enabled()) {
    msi_.notify();
  } else {
    intx_.update();
  }
}

bool VirtioPciLegacy::intx_wanted() const {
  return isr_ != 0 && !intx_disabled_ && !msi_.enabled() && !msix_.enabled();
}

}  // namespace acrn
