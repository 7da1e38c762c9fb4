// Vcpu: one virtual CPU of KVM and the thread that runs it.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/vm/hypervisor.h"
#include "dm/base/thread.h"

namespace acrn {

class Vcpu {
 public:
  // Number `index` of `count`. `system` is the descriptor of /dev/kvm, `vm` that of the VM; `cpuid`: what
  // KVM supports.
  static Result<std::unique_ptr<Vcpu>> create(int system, int vm, const std::vector<kvm_cpuid_entry2>& cpuid,
                                              unsigned index, unsigned count);
  ~Vcpu();

  // Registers of a bootstrap processor; the others wait for a start-up message.
  Result<void> enter_at(const BootState& boot);
  // Runs on its own thread, pinned to the host's CPU `pin` if there is one, until stop().
  Result<void> start(ExitHandler& exits, std::optional<unsigned> pin);

  // In two steps, so that all vCPUs come to rest at the same time. Not from a vCPU's own thread.
  void ask_to_pause() { ask(Gate::kPaused); }
  void await_pause();
  void resume();
  void ask_to_stop() { ask(Gate::kStopped); }
  void join() { thread_.join(); }

 private:
  enum class Gate { kOpen, kPaused, kStopped };

  explicit Vcpu(unsigned index) : index_(index) {}
  Result<void> set_cpuid(const std::vector<kvm_cpuid_entry2>& supported, unsigned count);
  Result<void> set_memory_types();
  void ask(Gate gate);
  bool pass_gate();
  void serve();
  bool handle_exit();
  void handle_io();
  void handle_memory();
  void fail(const std::string& what);
  void rest();

  const unsigned index_;
  UniqueFd fd_;
  kvm_run* run_ = nullptr;  // shared with the kernel
  size_t run_size_ = 0;     // bytes
  ExitHandler* exits_ = nullptr;

  Mutex mutex_;  // leaf
  CondVar changed_;
  Gate gate_ ACRN_GUARDED_BY(mutex_) = Gate::kOpen;
  bool parked_ ACRN_GUARDED_BY(mutex_) = false;  // not inside KVM_RUN, nor in the handling of an exit
  Thread thread_;
};

}  // namespace acrn
