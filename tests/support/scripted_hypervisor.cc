#include "tests/support/scripted_hypervisor.h"

#include <algorithm>
#include <bit>
#include <cerrno>

namespace acrn::test {
namespace {

enum LineOperation : uint32_t { kHigh, kLow, kRisingPulse, kFallingPulse };

}  // namespace

void ScriptedHypervisor::connect(FakeHsm& module) {
  for (unsigned index = 0; index < ACRN_IO_REQUEST_MAX; index++) {
    vcpus_.push_back(std::make_unique<HsmVcpu>(module, index, options_.polling));
  }
}

void ScriptedHypervisor::end_vcpus() {
  for (const auto& vcpu : vcpus_) vcpu->end();
}

int ScriptedHypervisor::create_vm(acrn_vm_creation& creation) {
  MutexLock lock(mutex_);
  calls_.emplace_back("create_vm");
  if (state_ != VmState::kNone && state_ != VmState::kPoweredOff) return -EINVAL;
  state_ = VmState::kCreated;
  creation_ = creation;
  creation.vmid = 1;
  creation.vcpu_num =
      creation.cpu_affinity == 0 ? options_.vcpus : static_cast<uint16_t>(std::popcount(creation.cpu_affinity));
  vcpu_num_ = creation.vcpu_num;
  return 0;
}

// Even where it refuses, the module has let go of the request page.
int ScriptedHypervisor::destroy_vm() {
  end_vcpus();
  MutexLock lock(mutex_);
  calls_.emplace_back("destroy_vm");
  if (state_ != VmState::kPaused) return -EINVAL;
  state_ = VmState::kPoweredOff;
  return 0;
}

int ScriptedHypervisor::start_vm() {
  unsigned vcpus = 0;
  {
    MutexLock lock(mutex_);
    calls_.emplace_back("start_vm");
    const bool has_entry = std::ranges::any_of(regs_, [](const acrn_vcpu_regs& regs) { return regs.vcpu_id == 0; });
    if (state_ != VmState::kCreated || !has_entry) return -EINVAL;
    state_ = VmState::kRunning;
    vcpus = std::min<unsigned>(vcpu_num_, ACRN_IO_REQUEST_MAX);
  }
  for (unsigned index = 0; index < vcpus; index++) vcpus_[index]->run();
  return 0;
}

int ScriptedHypervisor::pause_vm() {
  {
    MutexLock lock(mutex_);
    calls_.emplace_back("pause_vm");
    if (state_ == VmState::kNone || state_ == VmState::kPoweredOff) return -EINVAL;
    state_ = VmState::kPaused;
  }
  end_vcpus();
  return 0;
}

int ScriptedHypervisor::reset_vm() {
  MutexLock lock(mutex_);
  calls_.emplace_back("reset_vm");
  if (state_ != VmState::kPaused) return -EINVAL;
  state_ = VmState::kCreated;
  regs_.clear();
  lines_.clear();
  return 0;
}

int ScriptedHypervisor::set_vcpu_regs(const acrn_vcpu_regs& regs) {
  MutexLock lock(mutex_);
  calls_.emplace_back("set_vcpu_regs");
  if (state_ == VmState::kRunning || regs.vcpu_id >= vcpu_num_) return -EINVAL;
  regs_.push_back(regs);
  return 0;
}

int ScriptedHypervisor::add_memory(const acrn_vm_memmap& memory) {
  MutexLock lock(mutex_);
  calls_.emplace_back("add_memory");
  memory_.push_back(memory);
  return 0;
}

int ScriptedHypervisor::set_irqline(uint32_t gsi, uint32_t operation) {
  bool before = false, after = false;
  {
    MutexLock lock(mutex_);
    calls_.emplace_back("set_irqline");
    auto& operations = lines_[gsi];
    before = !operations.empty() && (operations.back() == kHigh || operations.back() == kFallingPulse);
    operations.push_back(operation);
    after = operation == kHigh || operation == kFallingPulse;
  }
  if (before != after) options_.on_line(gsi, after);
  return 0;
}

int ScriptedHypervisor::inject_msi(uint64_t address, uint64_t data) {
  {
    MutexLock lock(mutex_);
    messages_.push_back({address, data});
  }
  options_.on_msi(address, data);
  return 0;
}

int ScriptedHypervisor::notify_request_finish(unsigned vcpu) {
  {
    MutexLock lock(mutex_);
    finished_++;
  }
  vcpus_[vcpu]->finished();
  return 0;
}

ScriptedHypervisor::VmState ScriptedHypervisor::state() const {
  MutexLock lock(mutex_);
  return state_;
}

std::vector<std::string> ScriptedHypervisor::calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

acrn_vm_creation ScriptedHypervisor::creation() const {
  MutexLock lock(mutex_);
  return creation_;
}

std::vector<acrn_vm_memmap> ScriptedHypervisor::memory() const {
  MutexLock lock(mutex_);
  return memory_;
}

std::vector<acrn_vcpu_regs> ScriptedHypervisor::regs() const {
  MutexLock lock(mutex_);
  return regs_;
}

std::vector<acrn_msi_entry> ScriptedHypervisor::messages() const {
  MutexLock lock(mutex_);
  return messages_;
}

bool ScriptedHypervisor::line(uint32_t gsi) const {
  const auto operations = line_operations(gsi);
  return !operations.empty() && (operations.back() == kHigh || operations.back() == kFallingPulse);
}

std::vector<uint32_t> ScriptedHypervisor::line_operations(uint32_t gsi) const {
  MutexLock lock(mutex_);
  const auto found = lines_.find(gsi);
  return found == lines_.end() ? std::vector<uint32_t>{} : found->second;
}

unsigned ScriptedHypervisor::finished() const {
  MutexLock lock(mutex_);
  return finished_;
}

}  // namespace acrn::test
