// KvmHypervisor: what ACRN's hypervisor does for one VM, done with KVM. It answers as ACRN does, also where KVM would
// not: registers, order of calls, levels of interrupt pins, a triple fault. Not from its virtual CPUs' threads.
#pragma once

#include <linux/kvm.h>

#include <array>
#include <atomic>
#include <deque>
#include <optional>
#include <thread>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"
#include "tests/support/fake_hsm.h"
#include "tests/support/hsm_vcpu.h"

namespace acrn::test {

class KvmHypervisor final : public HsmHypervisor {
 public:
  ~KvmHypervisor() override { stop(); }
  // Before any call.
  void attach(HsmModule& module) { module_ = &module; }
  // The virtual CPUs end, whatever they wait for.
  void stop();

  int create_vm(acrn_vm_creation& creation) override;
  int destroy_vm() override;
  int start_vm() override;
  int pause_vm() override;
  int reset_vm() override;
  int set_vcpu_regs(const acrn_vcpu_regs& regs) override;
  int add_memory(const acrn_vm_memmap& memory) override;
  int set_irqline(uint32_t gsi, uint32_t operation) override;
  int inject_msi(uint64_t address, uint64_t data) override;
  int notify_request_finish(unsigned vcpu) override;

 private:
  static constexpr unsigned kIoApicInputs = 24, kPicInputs = 16;
  enum class State { kNone, kCreated, kRunning, kPaused };
  struct Vcpu {
    Vcpu(HsmModule& module, unsigned number) : index(number), requests(module, number) {}
    ~Vcpu() { unmap(); }
    void unmap();

    const unsigned index;
    HsmVcpu requests;
    UniqueFd fd;
    kvm_run* run = nullptr;  // shared with the kernel
    size_t run_size = 0;     // bytes
    std::thread thread;
  };

  int build();
  int build_controllers();
  int build_vcpu(Vcpu& vcpu);
  int add_slot(unsigned number, const acrn_vm_memmap& memory) const;
  void drive(unsigned gsi, bool high) ACRN_REQUIRES(pins_mutex_);
  bool active_low(unsigned gsi) const;

  void serve(Vcpu& vcpu);
  void port_access(Vcpu& vcpu);
  void memory_access(Vcpu& vcpu);
  std::optional<uint64_t> request(Vcpu& vcpu, const HsmAccess& access) const;

  HsmModule* module_ = nullptr;
  State state_ = State::kNone;
  UniqueFd system_;
  std::vector<acrn_vm_memmap> memory_;
  std::deque<Vcpu> vcpus_;  // from CREATE_VM on

  Mutex pins_mutex_;  // over the VM as well, for interrupts while it is reset
  UniqueFd vm_;
  std::array<bool, kIoApicInputs> pins_ ACRN_GUARDED_BY(pins_mutex_){};  // high; they stay through a reset

  std::atomic<bool> stopping_ = false;
};

}  // namespace acrn::test
