#include "dm/hypervisor/kvm/vcpu.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>
#include <vector>

#include "acrn/base/check.h"
#include "dm/hypervisor/kvm/cpuid.h"
#include "dm/hypervisor/kvm/kernel_lists.h"
#include "dm/hypervisor/kvm/kvm_ioctl.h"
#include "dm/hypervisor/vcpu_signal.h"

namespace acrn {
namespace {

void set_flat_segments(const BootState& boot, kvm_sregs& sregs) {
  constexpr uint8_t kCodeType = 0xb, kDataType = 0x3, kTssType = 0xb;
  kvm_segment segment{};
  segment.limit = 0xffff'ffff;
  segment.present = segment.s = segment.g = 1;
  segment.selector = boot.code_selector;
  segment.type = kCodeType;
  segment.l = boot.long_mode;
  segment.db = !boot.long_mode;
  sregs.cs = segment;
  segment.selector = boot.data_selector;
  segment.type = kDataType;
  segment.l = 0;
  segment.db = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment;
  kvm_segment task{};  // Intel's processors do not enter a guest without one
  task.limit = 0xffff;
  task.type = kTssType;
  task.present = 1;
  sregs.tr = task;
  sregs.gdt.base = boot.descriptors;
  sregs.gdt.limit = boot.descriptors_limit;
}

void set_mode(const BootState& boot, kvm_sregs& sregs) {
  constexpr uint64_t kCr0Pe = 1, kCr0Et = 1 << 4, kCr0Pg = uint64_t{1} << 31, kCr4Pae = 1 << 5;
  constexpr uint64_t kEferLme = 1 << 8, kEferLma = 1 << 10;
  sregs.cr0 = kCr0Pe | kCr0Et;
  if (!boot.long_mode) return;
  sregs.cr0 |= kCr0Pg;
  sregs.cr3 = boot.page_tables;
  sregs.cr4 |= kCr4Pae;
  sregs.efer |= kEferLme | kEferLma;
}

}  // namespace

Result<std::unique_ptr<Vcpu>> Vcpu::create(int system, int vm, const std::vector<kvm_cpuid_entry2>& cpuid,
                                           unsigned index, unsigned count) {
  std::unique_ptr<Vcpu> vcpu(new Vcpu(index));
  vcpu->fd_ = UniqueFd(kvm_ioctl(vm, KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
  if (!vcpu->fd_) return kvm_error("KVM_CREATE_VCPU");
  const int size = kvm_ioctl(system, KVM_GET_VCPU_MMAP_SIZE, 0L);
  if (size < static_cast<int>(sizeof(kvm_run))) return kvm_error("KVM_GET_VCPU_MMAP_SIZE");
  vcpu->run_size_ = static_cast<size_t>(size);
  void* const mapped = ::mmap(nullptr, vcpu->run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd_.fd(), 0);
  if (mapped == MAP_FAILED) return kvm_error("mmap of a vCPU");
  vcpu->run_ = static_cast<kvm_run*>(mapped);
  if (auto set = vcpu->set_cpuid(cpuid, count); !set) return set.error();
  if (auto set = vcpu->set_memory_types(); !set) return set.error();
  return vcpu;
}

Vcpu::~Vcpu() {
  ACRN_CHECK(!thread_.joinable());
  if (run_ != nullptr) ::munmap(run_, run_size_);
}

Result<void> Vcpu::set_cpuid(const std::vector<kvm_cpuid_entry2>& supported, unsigned count) {
  const std::vector<kvm_cpuid_entry2> leaves = guest_cpuid(supported, index_, count);
  const auto size = static_cast<unsigned>(leaves.size());
  if (acrn_kvm_set_cpuid(fd_.fd(), leaves.data(), size) != 0) return kvm_error("KVM_SET_CPUID2");
  return {};
}

// What firmware leaves behind: all memory is write-back, string instructions are fast.
Result<void> Vcpu::set_memory_types() {
  constexpr uint32_t kMtrrDefaultType = 0x2ff, kMiscEnable = 0x1a0;
  constexpr uint64_t kMtrrOnWriteBack = 0x806, kFastStrings = 1;
  const kvm_msr_entry entries[] = {{kMtrrDefaultType, 0, kMtrrOnWriteBack}, {kMiscEnable, 0, kFastStrings}};
  // A processor that lacks the second one takes only the first.
  if (acrn_kvm_set_msrs(fd_.fd(), entries, 2) < 1) return kvm_error("KVM_SET_MSRS");
  return {};
}

Result<void> Vcpu::enter_at(const BootState& boot) {
  kvm_sregs sregs;
  if (kvm_ioctl(fd_.fd(), KVM_GET_SREGS, &sregs) != 0) return kvm_error("KVM_GET_SREGS");
  set_flat_segments(boot, sregs);
  set_mode(boot, sregs);
  if (kvm_ioctl(fd_.fd(), KVM_SET_SREGS, &sregs) != 0) return kvm_error("KVM_SET_SREGS");
  kvm_regs regs{};
  regs.rip = boot.instruction;
  regs.rsp = boot.stack;
  regs.rax = boot.rax;
  regs.rbx = boot.rbx;
  regs.rsi = boot.rsi;
  regs.rflags = 2;  // the bit that is always set
  if (kvm_ioctl(fd_.fd(), KVM_SET_REGS, &regs) != 0) return kvm_error("KVM_SET_REGS");
  return {};
}

Result<void> Vcpu::start(ExitHandler& exits, std::optional<unsigned> pin) {
  install_kick_handler();
  exits_ = &exits;
  const auto body = [this] { serve(); };
  auto started = thread_.start(concat("vcpu", index_), body, Thread::Inherit::kStarter, Thread::Kind::kVcpu);
  if (!started) return started.error();
  if (!pin || thread_.pin({*pin})) return {};
  return Error{ErrorKind::kUsage, concat("--cpu_affinity: host CPU ", *pin, " cannot be used: ", errno_text(errno))};
}

void Vcpu::ask(Gate gate) {
  MutexLock lock(mutex_);
  gate_ = gate;
  changed_.notify_all();
  if (!thread_.joinable() || parked_) return;
  // For a thread that is just about to enter the kernel; the signal is for one that is there.
  __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_RELAXED);
  thread_.kill(vcpu_signal());
}

void Vcpu::await_pause() {
  MutexLock lock(mutex_);
  while (thread_.joinable() && !parked_) changed_.wait(mutex_);
}

void Vcpu::resume() {
  kvm_ioctl(fd_.fd(), KVM_KVMCLOCK_CTRL, 0L);  // the guest's watchdogs forgive the pause, where it has kvm-clock
  MutexLock lock(mutex_);
  gate_ = Gate::kOpen;
  changed_.notify_all();
}

// Waits while the vCPU is paused. False: it is to stop.
bool Vcpu::pass_gate() {
  MutexLock lock(mutex_);
  while (gate_ == Gate::kPaused) {
    parked_ = true;
    changed_.notify_all();
    changed_.wait(mutex_);
  }
  parked_ = gate_ == Gate::kStopped;
  if (parked_) changed_.notify_all();
  __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_RELAXED);
  return !parked_;
}

void Vcpu::serve() {
  accept_kicks();
  while (pass_gate()) {
    do {
      if (::ioctl(fd_.fd(), KVM_RUN, 0) == 0) continue;
      // A signal, or (EAGAIN) an application processor that is still to be started.
      if (errno == EINTR || errno == EAGAIN) break;
      fail(concat("KVM_RUN: ", errno_text(errno)));
      break;
    } while (handle_exit());
  }
}

// False: the gate is to be looked at.
bool Vcpu::handle_exit() {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO: handle_io(); break;
    case KVM_EXIT_MMIO: handle_memory(); break;
    case KVM_EXIT_INTR: break;
    case KVM_EXIT_SHUTDOWN:
    case KVM_EXIT_SYSTEM_EVENT:
      exits_->cpu_shutdown();
      rest();
      break;
    case KVM_EXIT_FAIL_ENTRY:
      fail(concat("the processor refused to enter the guest, reason ",
                  hex(run_->fail_entry.hardware_entry_failure_reason)));
      break;
    case KVM_EXIT_INTERNAL_ERROR: fail(concat("KVM internal error ", run_->internal.suberror)); break;
    default: fail(concat("unexpected KVM exit ", run_->exit_reason)); break;
  }
  return __atomic_load_n(&run_->immediate_exit, __ATOMIC_RELAXED) == 0;
}

void Vcpu::handle_io() {
  const auto& io = run_->io;
  // SAFETY: KVM says where in its mapping, which begins with the structure, the port's bytes are.
  auto* data = reinterpret_cast<uint8_t*>(run_) + io.data_offset;
  for (uint32_t i = 0; i < io.count; i++, data += io.size) {
    uint32_t value = 0;
    if (io.direction == KVM_EXIT_IO_OUT) {
      std::memcpy(&value, data, io.size);
      exits_->io_write(io.port, io.size, value);
    } else {
      value = exits_->io_read(io.port, io.size);
      std::memcpy(data, &value, io.size);
    }
  }
}

void Vcpu::handle_memory() {
  auto& access = run_->mmio;
  uint64_t value = 0;
  if (access.is_write != 0) {
    std::memcpy(&value, access.data, access.len);
    exits_->memory_write(access.phys_addr, access.len, value);
  } else {
    value = exits_->memory_read(access.phys_addr, access.len);
    std::memcpy(access.data, &value, access.len);
  }
}

void Vcpu::fail(const std::string& what) {
  exits_->cpu_failed(concat("vCPU ", index_, ": ", what));
  rest();
}

// There is nothing to run any more; the machine resets or ends the vCPU.
void Vcpu::rest() {
  MutexLock lock(mutex_);
  if (gate_ == Gate::kOpen) gate_ = Gate::kPaused;
  __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_RELAXED);
}

}  // namespace acrn
