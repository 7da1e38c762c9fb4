#include "dm/server/vfio_user/irq_table.h"

#include <cerrno>
#include <utility>

#include "acrn/pci/capability.h"
#include "acrn/pci/pci_spec.h"

namespace acrn::vfio_user {
namespace {

constexpr uint64_t kEntrySize = 16;  // of an MSI-X table: address, data, control; PCI 3.0 6.8.2
constexpr uint64_t kEntryData = 8, kEntryControl = 12;

}  // namespace

void IrqTable::attach(PciFunction& function) {
  function_ = &function;
  has_intx_ = function.config_read(PCI_INTERRUPT_PIN, 1) != 0;
  uint32_t vectors = 0;
  if (const auto msix = find_capability(function, PCI_CAP_ID_MSIX)) {
    message_index_ = VFIO_PCI_MSIX_IRQ_INDEX;
    vectors = (function.config_read(*msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
    const uint32_t table = function.config_read(*msix + PCI_MSIX_TABLE, 4);
    table_bar_ = table & 7;
    table_offset_ = table & ~7u;
  } else if (find_capability(function, PCI_CAP_ID_MSI)) {
    message_index_ = VFIO_PCI_MSI_IRQ_INDEX;
    vectors = 1;
  }
  while (vectors_.size() < vectors) vectors_.push_back(std::make_unique<EventSlot>());
  restore();
}

uint32_t IrqTable::count(uint32_t index) const {
  if (index == VFIO_PCI_INTX_IRQ_INDEX) return has_intx_ ? 1 : 0;
  return index == message_index_ ? static_cast<uint32_t>(vectors_.size()) : 0;
}

int IrqTable::set(const IrqSet& request, std::span<const uint8_t> data, std::vector<UniqueFd>& events) {
  const uint32_t index = request.index, start = request.start, number = request.count, available = count(index);
  if (available == 0 || start > available || number > available - start) return EINVAL;
  if ((request.flags & ~(kIrqSetDataMask | kIrqSetActionMask)) != 0) return EINVAL;
  const uint32_t kind = request.flags & kIrqSetDataMask, action = request.flags & kIrqSetActionMask;
  const bool trigger = action == VFIO_IRQ_SET_ACTION_TRIGGER, unmask = action == VFIO_IRQ_SET_ACTION_UNMASK;
  if (!trigger && !unmask && action != VFIO_IRQ_SET_ACTION_MASK) return EINVAL;
  if (!trigger && index != VFIO_PCI_INTX_IRQ_INDEX) return ENOTSUP;
  if (data.size() != (kind == VFIO_IRQ_SET_DATA_BOOL ? number : 0)) return EINVAL;
  if (kind == VFIO_IRQ_SET_DATA_EVENTFD) {
    if (!events.empty() && events.size() != number) return EINVAL;
    if (trigger) return set_events(request, events);
    return unmask ? set_unmask_event(events) : ENOTSUP;
  }
  if (!events.empty() || (kind != VFIO_IRQ_SET_DATA_NONE && kind != VFIO_IRQ_SET_DATA_BOOL)) return EINVAL;
  if (trigger && kind == VFIO_IRQ_SET_DATA_NONE && number == 0 && start == 0) disable(index);
  for (uint32_t i = 0; i < number; i++) {
    if (kind == VFIO_IRQ_SET_DATA_NONE || data[i] != 0) act(request, start + i);
  }
  return 0;
}

// All of them or none.
int IrqTable::set_events(const IrqSet& request, std::vector<UniqueFd>& events) {
  std::vector<std::unique_ptr<EventTrigger>> triggers(request.count);
  for (size_t i = 0; i < events.size(); i++) {
    int error;
    triggers[i] = EventTrigger::create(std::move(events[i]), error);
    if (triggers[i] == nullptr) return error;
  }
  for (uint32_t i = 0; i < request.count; i++) place(request.index, request.start + i, std::move(triggers[i]));
  return 0;
}

// Never read, so an edge is all there is to see; its counter only grows.
int IrqTable::set_unmask_event(std::vector<UniqueFd>& events) {
  // Any other kind could keep the client's own socket open, or have to be waited for.
  if (!events.empty() && !is_eventfd(events[0].fd())) return EINVAL;
  unmask_watch_.reset();
  unmask_event_.reset();
  if (events.empty()) return 0;
  unmask_event_ = std::move(events[0]);
  unmask_watch_ = loop_.watch_event(unmask_event_.fd(), [this] { mask_intx(false); });
  return unmask_watch_ != nullptr ? 0 : EINVAL;
}

void IrqTable::place(uint32_t index, uint32_t number, std::unique_ptr<EventTrigger> trigger) {
  if (index == VFIO_PCI_INTX_IRQ_INDEX) {
    MutexLock lock(intx_mutex_);
    intx_ = std::move(trigger);
    masked_ = false;
    return raise_intx();
  }
  vectors_[number]->place(std::move(trigger));
}

void IrqTable::act(const IrqSet& request, uint32_t number) {
  const uint32_t action = request.flags & kIrqSetActionMask;
  if (action != VFIO_IRQ_SET_ACTION_TRIGGER) return mask_intx(action == VFIO_IRQ_SET_ACTION_MASK);
  if (request.index != VFIO_PCI_INTX_IRQ_INDEX) return trigger_message(number);
  MutexLock lock(intx_mutex_);
  if (intx_ != nullptr) intx_->signal();
}

void IrqTable::disable(uint32_t index) {
  if (index == VFIO_PCI_INTX_IRQ_INDEX) {
    unmask_watch_.reset();
    unmask_event_.reset();
  }
  for (uint32_t i = 0; i < count(index); i++) place(index, i, nullptr);
}

void IrqTable::clear() {
  disable(VFIO_PCI_INTX_IRQ_INDEX);
  if (message_index_ != 0) disable(message_index_);
}

void IrqTable::restore() {
  for (const auto& vector : vectors_) vector->forget();
  if (message_index_ != VFIO_PCI_MSIX_IRQ_INDEX) return;
  for (uint32_t number = 0; number < vectors_.size(); number++) {
    const uint64_t entry = table_offset_ + kEntrySize * number;
    function_->bar_write(table_bar_, entry + kEntryData, 4, number);
    function_->bar_write(table_bar_, entry + kEntryControl, 4, 0);
  }
}

bool IrqTable::in_table(uint32_t bar, uint64_t offset, uint64_t size) const {
  return message_index_ == VFIO_PCI_MSIX_IRQ_INDEX && bar == table_bar_ && offset + size > table_offset_ &&
         offset < table_offset_ + kEntrySize * vectors_.size();
}

void IrqTable::send(uint64_t, uint32_t data) {
  // An MSI's data is the guest's own, and there is one vector.
  trigger_message(message_index_ == VFIO_PCI_MSIX_IRQ_INDEX ? data : 0);
}

void IrqTable::trigger_message(uint32_t number) {
  if (number < vectors_.size()) vectors_[number]->signal();
}

void IrqTable::set_level(bool asserted) {
  MutexLock lock(intx_mutex_);
  level_ = asserted;
  raise_intx();
}

void IrqTable::mask_intx(bool masked) {
  MutexLock lock(intx_mutex_);
  masked_ = masked;
  raise_intx();
}

void IrqTable::raise_intx() {
  if (!level_ || masked_ || intx_ == nullptr) return;
  masked_ = true;
  intx_->signal();
}

}  // namespace acrn::vfio_user
