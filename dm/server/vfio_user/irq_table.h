// IrqTable: a client's eventfds, and which of them a function's interrupts reach. The function's own MSI-X table
// belongs to it: every entry is unmasked and its message is its number. The table that a guest writes is kept by the
// client, which gives an eventfd for each vector in use; a message for a vector without one waits for it.
//
// INTA# is automasked: one signal for an assertion, and the next one after the client has unmasked it
// (VFIO_IRQ_INFO_AUTOMASKED).
//
// Threads: the function interrupts from any; all else is on the client's loop.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"
#include "acrn/pci/pci_function.h"
#include "dm/event/epoll_loop.h"
#include "dm/event/event_trigger.h"
#include "dm/server/vfio_user/protocol.h"

namespace acrn::vfio_user {

class IrqTable final : private IrqPin, private MsiSink {
 public:
  // The loop is the client's, and outlives the table.
  explicit IrqTable(EventLoop& loop) : loop_(loop) {}

  // Where the function is to be connected.
  IrqPin& pin() { return *this; }
  MsiSink& msi() { return *this; }
  // Looks what the function has. It outlives the table's use; before all that follows.
  void attach(PciFunction& function);

  // How many interrupts an index has; 0: no such index.
  uint32_t count(uint32_t index) const;
  // VFIO_USER_DEVICE_SET_IRQS, with the bytes and descriptors that came with it. 0 or an errno.
  int set(const IrqSet& request, std::span<const uint8_t> data, std::vector<UniqueFd>& events);
  // After a reset of the function.
  void restore();
  // No eventfd any more.
  void clear();
  // Whether an access touches the function's MSI-X table.
  bool in_table(uint32_t bar, uint64_t offset, uint64_t size) const;

 private:
  void set_level(bool asserted) override;
  void send(uint64_t address, uint32_t data) override;

  int set_events(const IrqSet& request, std::vector<UniqueFd>& events);
  int set_unmask_event(std::vector<UniqueFd>& events);
  void place(uint32_t index, uint32_t number, std::unique_ptr<EventTrigger> trigger);
  void act(const IrqSet& request, uint32_t number);
  void disable(uint32_t index);
  void trigger_message(uint32_t number);
  void mask_intx(bool masked);
  void raise_intx() ACRN_REQUIRES(intx_mutex_);

  EventLoop& loop_;
  PciFunction* function_ = nullptr;
  bool has_intx_ = false;
  uint32_t message_index_ = 0;  // MSI or MSI-X; 0: neither
  unsigned table_bar_ = 0;      // of MSI-X
  uint64_t table_offset_ = 0;
  std::vector<std::unique_ptr<EventSlot>> vectors_;

  UniqueFd unmask_event_;
  std::unique_ptr<FdWatch> unmask_watch_;
  Mutex intx_mutex_;  // leaf; held across the signal, which does not block
  std::unique_ptr<EventTrigger> intx_ ACRN_GUARDED_BY(intx_mutex_);
  bool level_ ACRN_GUARDED_BY(intx_mutex_) = false;
  bool masked_ ACRN_GUARDED_BY(intx_mutex_) = false;
};

}  // namespace acrn::vfio_user
