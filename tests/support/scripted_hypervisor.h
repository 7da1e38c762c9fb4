// ScriptedHypervisor: ACRN beneath the stand-in, with a test's threads as its virtual CPUs. It goes through the states
// of a VM as ACRN does, with its refusals, and remembers what it was asked. Any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/hsm_vcpu.h"

namespace acrn::test {

class ScriptedHypervisor final : public HsmHypervisor {
 public:
  enum class VmState { kNone, kCreated, kRunning, kPaused, kPoweredOff };
  struct Options {
    uint16_t vcpus = 1;  // where cpu_affinity says nothing; else its bits count
    bool polling = false;
    // Called for each MSI and each change of a line, on the thread that causes it.
    std::function<void(uint64_t address, uint64_t data)> on_msi = [](uint64_t, uint64_t) {};
    std::function<void(uint32_t gsi, bool high)> on_line = [](uint32_t, bool) {};
  };

  ScriptedHypervisor() : ScriptedHypervisor(Options()) {}
  explicit ScriptedHypervisor(Options options) : options_(std::move(options)) {}

  // Before CREATE_VM.
  void connect(FakeHsm& module);
  HsmVcpu& vcpu(unsigned index) { return *vcpus_[index]; }

  VmState state() const;
  // Names of the calls, but for MSIs and finished requests.
  std::vector<std::string> calls() const;
  acrn_vm_creation creation() const;  // as it was asked for
  std::vector<acrn_vm_memmap> memory() const;
  std::vector<acrn_vcpu_regs> regs() const;  // since the VM was made or reset
  std::vector<acrn_msi_entry> messages() const;
  // True: high. Lines are low until they are set.
  bool line(uint32_t gsi) const;
  // Operations on that line since the VM was made.
  std::vector<uint32_t> line_operations(uint32_t gsi) const;
  unsigned finished() const;  // notifications

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
  void end_vcpus();

  const Options options_;
  std::vector<std::unique_ptr<HsmVcpu>> vcpus_;  // as many as there are slots
  mutable Mutex mutex_;                          // leaf
  VmState state_ ACRN_GUARDED_BY(mutex_) = VmState::kNone;
  unsigned vcpu_num_ ACRN_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> calls_ ACRN_GUARDED_BY(mutex_);
  acrn_vm_creation creation_ ACRN_GUARDED_BY(mutex_){};
  std::vector<acrn_vm_memmap> memory_ ACRN_GUARDED_BY(mutex_);
  std::vector<acrn_vcpu_regs> regs_ ACRN_GUARDED_BY(mutex_);
  std::vector<acrn_msi_entry> messages_ ACRN_GUARDED_BY(mutex_);
  std::map<uint32_t, std::vector<uint32_t>> lines_ ACRN_GUARDED_BY(mutex_);
  unsigned finished_ ACRN_GUARDED_BY(mutex_) = 0;
};

}  // namespace acrn::test
