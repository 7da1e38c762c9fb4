// HsmStandIn: does what the Linux module behind /dev/acrn_hsm does for one open file (<linux/acrn.h>, drivers/virt/acrn):
// the same requests, structures, checks, states, blocking and errors. What the module asks of the hypervisor beneath it is
// an HsmHypervisor: one whose virtual CPUs are a test's threads, or one that runs them with KVM.
#pragma once

#include <linux/acrn.h>

#include <cstdint>
#include <memory>

#include "dm/hypervisor/acrn/hsm_device.h"

namespace acrn::test {

// The hypercalls. 0 or more: done; negative: refused, as the hypervisor says it. Never called under a lock of the stand-in's.
class HsmHypervisor {
 public:
  virtual ~HsmHypervisor() = default;
  // Fills vmid and vcpu_num in.
  virtual int create_vm(acrn_vm_creation& creation) = 0;
  virtual int destroy_vm() = 0;  // refused unless paused
  virtual int start_vm() = 0;    // refused unless created or reset
  virtual int pause_vm() = 0;    // returns when no virtual CPU runs
  virtual int reset_vm() = 0;    // refused unless paused
  virtual int set_vcpu_regs(const acrn_vcpu_regs& regs) = 0;
  virtual int add_memory(const acrn_vm_memmap& memory) = 0;  // RAM at vma_base of this process
  virtual int set_irqline(uint32_t gsi, uint32_t operation) = 0;
  virtual int inject_msi(uint64_t address, uint64_t data) = 0;
  // The request of that virtual CPU is COMPLETE: it goes on.
  virtual int notify_request_finish(unsigned vcpu) = 0;
};

class HsmStandIn final : public HsmDevice {
 public:
  explicit HsmStandIn(HsmHypervisor& hypervisor);
  ~HsmStandIn() override;  // as close(2)
  int call(unsigned long request, uintptr_t argument) override;

  // For the hypervisor. The request page, null before CREATE_VM and after DESTROY_VM.
  acrn_io_request_buffer* requests();
  // Its interrupt to the Service VM: some slot is PENDING. Returns when the module has looked at all of them.
  void upcall();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace acrn::test
