// FakeHsm: does what the Linux module behind /dev/acrn_hsm does for one open file (<linux/acrn.h>,
// drivers/virt/acrn): the same requests, structures, checks, states, blocking and errors. What the module asks of the
// hypervisor beneath it is an HsmHypervisor: one whose virtual CPUs are a test's threads, or one that runs them with
// KVM.
#pragma once

#include <linux/acrn.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dm/hypervisor/acrn/hsm_device.h"

namespace acrn::test {

// The hypercalls. 0 or more: done; negative: refused, as the hypervisor says it. Never called under a lock of the
// stand-in's.
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

// The start of a page with a ring, for requests that ACRN's own kernel has and mainline has not; elements follow.
// Positions are bytes from the first element.
struct HsmRing {
  static constexpr uint64_t kMagic = 0x5aa57aa71aa13aa3;
  uint64_t magic;
  uint32_t elements, element_size;
  uint32_t head, tail;
  uint64_t flags;
  uint32_t overruns, size;
  uint32_t padding[6];
};

struct FakeHsmOptions {
  bool newer_requests = false;      // those that mainline has not
  bool interrupt_is_error = false;  // an ATTACH that a signal ends fails with EINTR; mainline's returns 0
};

// The module as the hypervisor sees it.
class HsmModule {
 public:
  virtual ~HsmModule() = default;
  // The request page; null while there is none.
  virtual acrn_io_request_buffer* requests() = 0;
  // The hypervisor's interrupt to the Service VM: some slot is PENDING.
  virtual void upcall() = 0;
  // A write to that address is of an ioeventfd that needs no request: it is signalled, and the virtual CPU goes on.
  virtual bool signal_async(uint32_t type, uint64_t address) = 0;
};

class FakeHsm final : public HsmDevice, public HsmModule {
 public:
  // Newer requests; the first two take the address of a page that starts with an HsmRing.
  static constexpr unsigned long kSetupAsyncio = _IOW(ACRN_IOCTL_TYPE, 0x90, __u64);
  static constexpr unsigned long kSetupVmEventRing = _IOW(ACRN_IOCTL_TYPE, 0xa0, __u64);
  static constexpr unsigned long kSetupVmEventFd = _IOW(ACRN_IOCTL_TYPE, 0xa1, int);
  static constexpr uint32_t kIoeventfdAsyncio = 0x08;
  static constexpr uint32_t kVmEventSize = 32;  // a type of four bytes, and what belongs to it

  explicit FakeHsm(HsmHypervisor& hypervisor, FakeHsmOptions options = {});
  ~FakeHsm() override;  // as close()
  int call(unsigned long request, uintptr_t argument) override;
  // As close(2): the VM goes. Later calls are of a file without a VM.
  void close();

  // The request page is there from CREATE_VM to DESTROY_VM. On CREATE_VM and RESET_VM all slots become FREE, as the
  // hypervisor does it.
  acrn_io_request_buffer* requests() override;
  void upcall() override;  // returns when the module has looked at all slots
  bool signal_async(uint32_t type, uint64_t address) override;
  // Into the VM's event ring. False: there is none, or it is full.
  bool send_vm_event(uint32_t type, std::span<const std::byte> data);

  // How many requests were notified that the device model did not have. The real module completes such a slot all the
  // same.
  unsigned stray_notifies() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace acrn::test
