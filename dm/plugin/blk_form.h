// BlkForm: what a host of the library passes accesses to: a whole PCI function, or the register block alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "acrn-blk.h"
#include "acrn/pci/pci_function.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"

namespace acrn {

// Accesses: any thread; the others as PciFunction says.
class BlkForm {
 public:
  virtual ~BlkForm() = default;
  virtual uint32_t config_read(unsigned offset, unsigned size) = 0;
  virtual void config_write(unsigned offset, unsigned size, uint32_t value) = 0;
  virtual uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) = 0;
  virtual void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) = 0;
  virtual uint32_t bar_size(unsigned bar) const = 0;     // bytes; 0: there is none
  virtual uint64_t bar_address(unsigned bar) const = 0;  // UINT64_MAX: it does not answer
  virtual unsigned vectors() const = 0;
  virtual std::vector<BarDoorbell> doorbells() const = 0;
  virtual void reset() = 0;
  virtual void suspend() = 0;
  virtual void resume() = 0;
  virtual void change_memory(const std::function<void()>& change) = 0;
};

// Guest errors outlive the form.
std::unique_ptr<BlkForm> make_function_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                            const acrn_blk_function_callbacks& callbacks);
std::unique_ptr<BlkForm> make_register_form(std::unique_ptr<VirtioDevice> device, GuestErrors& guest_errors,
                                            const acrn_blk_register_callbacks& callbacks);

}  // namespace acrn
