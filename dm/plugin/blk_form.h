// BlkForm: what a host of the library passes accesses to: a whole PCI function, or the register block alone.
#pragma once

#include <memory>

#include "acrn-blk.h"
#include "acrn/base/result.h"
#include "acrn/pci/pci_function.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/event/epoll_loop.h"
#include "hw/pci/virtio/legacy_registers.h"

namespace acrn {

class BlkForm {
 public:
  virtual ~BlkForm() = default;
  // Of the register block: one without configuration space, and with BAR0 alone.
  virtual PciFunction& function() = 0;
  virtual LegacyRegisters& registers() = 0;
};

// Guest errors and loop outlive the form. Errors: kUsage, a resample_fd that is no eventfd.
Result<std::unique_ptr<BlkForm>> make_function_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                                    EpollLoop& loop, const acrn_blk_function_callbacks& callbacks);
std::unique_ptr<BlkForm> make_register_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                            const acrn_blk_register_callbacks& callbacks);

}  // namespace acrn
