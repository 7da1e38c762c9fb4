// KVM: a Hypervisor over /dev/kvm with the interrupt controllers and the timer in the kernel.
//
// A reset makes a new VM in the kernel in place of the old one, so nothing of the old one can be left behind.
// Interrupts may come at any moment of it: the VM's descriptor keeps its number.
#pragma once

#include <memory>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/unique_fd.h"
#include "acrn/vm/hypervisor.h"
#include "dm/hypervisor/kvm/kvm_msi_routes.h"
#include "dm/hypervisor/kvm/vcpu.h"

namespace acrn {

struct KvmOptions {
  unsigned vcpus = 1;
  std::vector<unsigned> cpu_affinity;  // host CPU of the n-th vCPU; empty: not pinned
};

class Kvm final : public Hypervisor {
 public:
  static Result<std::unique_ptr<Kvm>> create(const KvmOptions& options);
  ~Kvm() override;

  HypervisorTraits traits() const override { return {.vcpus = options_.vcpus}; }
  Result<void> map_ram(const MemoryRegion& region) override;
  Result<void> start(const BootState& boot, ExitHandler& exits) override;
  void pause() override;
  void resume() override;
  Result<void> reset() override;
  void stop() override;
  void set_irq(unsigned gsi, bool asserted) override;
  void send(uint64_t address, uint32_t data) override;
  bool add_doorbell(const Doorbell& doorbell) override;
  void remove_doorbell(const Doorbell& doorbell) override;

 private:
  explicit Kvm(const KvmOptions& options) : options_(options) {}
  Result<void> open();
  Result<void> build_vm();
  Result<void> set_level_lines();
  Result<void> add_slot(unsigned slot, const MemoryRegion& region);
  Result<void> make_vcpus();

  const KvmOptions options_;
  UniqueFd system_;                      // /dev/kvm
  std::vector<kvm_cpuid_entry2> cpuid_;  // what it supports
  UniqueFd vm_;
  std::vector<MemoryRegion> ram_;  // kept mapped for as long as the VM may use it
  KvmMsiRoutes routes_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
};

}  // namespace acrn
