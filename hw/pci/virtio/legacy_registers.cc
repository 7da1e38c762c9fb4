#include "hw/pci/virtio/legacy_registers.h"

#include <bit>
#include <utility>

namespace acrn {
namespace {

uint8_t byte_of(uint32_t value, unsigned index) { return static_cast<uint8_t>(value >> (8 * index)); }

}  // namespace

uint32_t LegacyRegisters::bar_size(unsigned config_size) {
  return std::bit_ceil(VIRTIO_PCI_CONFIG_OFF_MSIX + config_size);
}

LegacyRegisters::LegacyRegisters(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                 FunctionInterrupts& interrupts)
    : guest_errors_(guest_errors),
      interrupts_(interrupts),
      bar_size_(bar_size(device->config_size())),
      vectors_(vectors(*device)),
      queues_(device->queue_count()),
      device_(std::move(device)) {
  device_->connect(*this);
}

LegacyRegisters::~LegacyRegisters() = default;

std::vector<BarDoorbell> LegacyRegisters::doorbells() const {
  std::vector<BarDoorbell> doorbells;
  for (unsigned queue = 0; queue < queues_.size(); queue++) {
    doorbells.push_back({.bar = kBar,
                         .offset = VIRTIO_PCI_QUEUE_NOTIFY,
                         .size = 2,
                         .data = queue,
                         .event_fd = device_->kick_fd(queue)});
  }
  return doorbells;
}

void LegacyRegisters::reset(const std::function<void()>& rest) {
  MutexLock lock(control_);
  reset_device();
  rest();
}

void LegacyRegisters::change_memory(const std::function<void()>& change) {
  MutexLock lock(control_);
  device_->suspend();  // what has been suspended already stays so
  change();
  if (!suspended_) device_->resume();
}

void LegacyRegisters::suspend() {
  MutexLock lock(control_);
  if (!std::exchange(suspended_, true)) device_->suspend();
}

void LegacyRegisters::resume() {
  MutexLock lock(control_);
  if (std::exchange(suspended_, false)) device_->resume();
}

// Where the device's configuration begins: behind the two vector registers while MSI-X is on (0.9.5 2.2.2).
unsigned LegacyRegisters::config_offset() const {
  return interrupts_.msix_enabled() ? VIRTIO_PCI_CONFIG_OFF_MSIX : VIRTIO_PCI_CONFIG_OFF_NO_MSIX;
}

uint64_t LegacyRegisters::read(uint64_t offset, unsigned size) {
  if (size > 4 || offset > bar_size_ - size) return ~uint64_t{0};
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

uint8_t LegacyRegisters::header_byte(unsigned offset) {
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
    if (pending != 0) interrupts_.isr_cleared();
    return pending;
  }
  return 0;  // QUEUE_NOTIFY is write-only
}

void LegacyRegisters::write(uint64_t offset, unsigned size, uint32_t value) {
  if (size > 4 || offset > bar_size_ - size) return;
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

void LegacyRegisters::header_write(unsigned offset, unsigned size, uint32_t value) {
  MutexLock lock(control_);
  const auto vector = [&](uint32_t wanted) {
    if (wanted < vectors_ || wanted == VIRTIO_MSI_NO_VECTOR) return static_cast<uint16_t>(wanted);
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

void LegacyRegisters::write_guest_features(uint32_t value) {
  if ((status_ & VIRTIO_CONFIG_S_DRIVER_OK) != 0) return guest_errors_.record(GuestRule::kFeaturesAfterDriverOk, value);
  const auto offered = static_cast<uint32_t>(device_->features());
  if ((value & ~offered) != 0) guest_errors_.record(GuestRule::kFeatureNotOffered, value & ~offered);
  guest_features_ = value & offered;
  device_->set_features(guest_features_);
}

void LegacyRegisters::write_queue_pfn(uint32_t pfn) {
  const uint16_t selected = queue_select_;
  if (selected >= queues_.size()) return;
  Queue& queue = queues_[selected];
  if (queue.pfn != 0) device_->stop_queue(selected);
  queue.pfn = 0;
  if (pfn == 0) return;
  const Gpa ring{uint64_t{pfn} << VIRTIO_PCI_QUEUE_ADDR_SHIFT};
  const uint16_t size = device_->queue_size(selected);
  if (device_->start_queue(selected, {.ring = legacy_ring(ring, size), .size = size})) queue.pfn = pfn;
}

void LegacyRegisters::write_status(uint8_t value) {
  if (value == 0) return reset_device();
  status_ = value;
}

void LegacyRegisters::reset_device() {
  device_->reset();  // returns when nothing is in flight
  suspended_ = false;
  MutexLock no_config_change(config_change_);
  status_ = 0;
  guest_features_ = 0;
  queue_select_ = 0;
  config_vector_ = VIRTIO_MSI_NO_VECTOR;
  for (Queue& queue : queues_) {
    queue.pfn = 0;
    queue.vector = VIRTIO_MSI_NO_VECTOR;
  }
  isr_ = 0;
  interrupts_.isr_cleared();
}

void LegacyRegisters::queue_interrupt(unsigned queue) { raise(VIRTIO_PCI_ISR_QUEUE, queues_[queue].vector); }

void LegacyRegisters::config_interrupt() {
  // Who has not started yet will read the configuration as it is now. The queue's bit comes with it, as drivers that
  // were written against QEMU expect (docs/adr/0017).
  MutexLock no_reset(config_change_);
  if ((status_ & VIRTIO_CONFIG_S_DRIVER_OK) != 0) raise(VIRTIO_PCI_ISR_CONFIG | VIRTIO_PCI_ISR_QUEUE, config_vector_);
}

// With MSI-X each cause has its vector and the ISR is not used; without, the ISR tells a shared interrupt's causes.
void LegacyRegisters::raise(uint8_t isr_bit, uint16_t vector) {
  if (interrupts_.msix_enabled()) {
    if (vector != VIRTIO_MSI_NO_VECTOR) interrupts_.send_vector(vector);
    return;
  }
  isr_ |= isr_bit;
  interrupts_.isr_raised();
}

}  // namespace acrn
