#include "tests/support/kvm_hypervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dm/hypervisor/kvm/cpuid.h"
#include "dm/hypervisor/kvm/kernel_lists.h"

namespace acrn::test {
namespace {

constexpr int kRefused = -EINVAL;

int vcpu_signal() { return SIGRTMIN + 1; }

// What ACRN has no words for.
[[noreturn]] void give_up(const char* what, int number) {
  std::fprintf(stderr, "KvmHypervisor: %s: %d\n", what, number);
  std::abort();
}

kvm_segment segment(uint16_t selector, uint64_t base, uint32_t limit, uint32_t access) {
  const auto bits = [access](unsigned first, unsigned count) {
    return static_cast<uint8_t>(access >> first & ((1u << count) - 1));
  };
  kvm_segment made{};
  made.selector = selector;
  made.base = base;
  made.limit = limit;
  made.type = bits(0, 4);
  made.s = bits(4, 1);
  made.dpl = bits(5, 2);
  made.present = bits(7, 1);
  made.avl = bits(12, 1);
  made.l = bits(13, 1);
  made.db = bits(14, 1);
  made.g = bits(15, 1);
  return made;
}

// Only the code segment is the caller's; the others are data segments of the mode.
void set_segments(const acrn_regs& from, kvm_sregs& to) {
  const bool is_protected = (from.cr0 & 1) != 0;
  const auto data = [is_protected](uint16_t selector) {
    return is_protected ? segment(selector, 0, 0xffff'ffff, 0xc093) : segment(selector, 0, 0xffff, 0x93);
  };
  to.cs = segment(from.cs_sel, from.cs_base, from.cs_limit, from.cs_ar);
  to.ss = data(from.ss_sel);
  to.ds = data(from.ds_sel);
  to.es = data(from.es_sel);
  to.fs = data(from.fs_sel);
  to.gs = data(from.gs_sel);
  to.ldt = segment(from.ldt_sel, 0, 0xffff, 0x82);
  to.tr = segment(from.tr_sel, 0, 0xffff, 0x8b);
  to.gdt.base = from.gdt.base;
  to.gdt.limit = from.gdt.limit;
  to.idt.base = from.idt.base;
  to.idt.limit = from.idt.limit;
}

kvm_regs general_registers(const acrn_regs& from) {
  kvm_regs to{};
  to.rax = from.gprs.rax;
  to.rbx = from.gprs.rbx;
  to.rcx = from.gprs.rcx;
  to.rdx = from.gprs.rdx;
  to.rsi = from.gprs.rsi;
  to.rdi = from.gprs.rdi;
  to.rsp = from.gprs.rsp;
  to.rbp = from.gprs.rbp;
  to.r8 = from.gprs.r8;
  to.r9 = from.gprs.r9;
  to.r10 = from.gprs.r10;
  to.r11 = from.gprs.r11;
  to.r12 = from.gprs.r12;
  to.r13 = from.gprs.r13;
  to.r14 = from.gprs.r14;
  to.r15 = from.gprs.r15;
  to.rip = from.rip;
  to.rflags = from.rflags == 0 ? 2 : from.rflags;
  return to;
}

// The inputs of KVM's controllers by numbers of their own: the I/O APIC's from 0, then the PICs'.
kvm_irq_routing_entry input(unsigned number, unsigned chip, unsigned pin) {
  kvm_irq_routing_entry entry{};
  entry.gsi = number;
  entry.type = KVM_IRQ_ROUTING_IRQCHIP;
  entry.u.irqchip.irqchip = chip;
  entry.u.irqchip.pin = pin;
  return entry;
}

void set_line(int vm, unsigned number, bool asserted) {
  kvm_irq_level line{};
  line.irq = number;
  line.level = asserted;
  if (::ioctl(vm, KVM_IRQ_LINE, &line) != 0) give_up("KVM_IRQ_LINE", errno);
}

}  // namespace

void KvmHypervisor::Vcpu::unmap() {
  if (run != nullptr) ::munmap(run, run_size);
  run = nullptr;
}

int KvmHypervisor::create_vm(acrn_vm_creation& creation) {
  if (state_ != State::kNone) return kRefused;
  unsigned vcpus = static_cast<unsigned>(std::popcount(creation.cpu_affinity));
  if (vcpus == 0) vcpus = std::max<unsigned>(creation.vcpu_num, 1);
  if (vcpus > ACRN_IO_REQUEST_MAX) return kRefused;
  system_ = UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!system_) return -errno;
  vcpus_.clear();  // of a try that failed
  for (unsigned index = 0; index < vcpus; index++) vcpus_.emplace_back(*module_, index);
  if (const int error = build(); error != 0) return error;
  creation.vmid = 1;
  creation.vcpu_num = static_cast<uint16_t>(vcpus);
  state_ = State::kCreated;
  return 0;
}

int KvmHypervisor::build() {
  MutexLock lock(pins_mutex_);
  vm_ = UniqueFd(::ioctl(system_.fd(), KVM_CREATE_VM, 0L));
  if (!vm_ || build_controllers() != 0) return -errno;
  for (unsigned slot = 0; slot < memory_.size(); slot++) {
    if (add_slot(slot, memory_[slot]) != 0) return -errno;
  }
  for (Vcpu& vcpu : vcpus_) {
    if (build_vcpu(vcpu) != 0) return -errno;
  }
  // A pin that nobody has driven is low, and an active-low line is asserted then.
  for (unsigned gsi = 0; gsi < kIoApicInputs; gsi++) drive(gsi, pins_[gsi]);
  return 0;
}

int KvmHypervisor::build_controllers() {
  constexpr unsigned long kTaskState = 0xfffb'd000;  // what Intel's processors need, out of RAM's way
  if (::ioctl(vm_.fd(), KVM_SET_TSS_ADDR, kTaskState) != 0 || ::ioctl(vm_.fd(), KVM_CREATE_IRQCHIP, 0L) != 0) return -1;
  std::vector<kvm_irq_routing_entry> entries;
  for (unsigned pin = 0; pin < kIoApicInputs; pin++) entries.push_back(input(pin, KVM_IRQCHIP_IOAPIC, pin));
  for (unsigned pin = 0; pin < kPicInputs; pin++) {
    entries.push_back(
        input(kIoApicInputs + pin, pin / 8 == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8));
  }
  return acrn_kvm_set_gsi_routing(vm_.fd(), entries.data(), static_cast<unsigned>(entries.size()));
}

int KvmHypervisor::build_vcpu(Vcpu& vcpu) {
  vcpu.unmap();
  vcpu.fd = UniqueFd(::ioctl(vm_.fd(), KVM_CREATE_VCPU, static_cast<unsigned long>(vcpu.index)));
  const int size = ::ioctl(system_.fd(), KVM_GET_VCPU_MMAP_SIZE, 0L);
  if (!vcpu.fd || size < 0) return -1;
  vcpu.run_size = static_cast<size_t>(size);
  void* const shared = ::mmap(nullptr, vcpu.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu.fd.fd(), 0);
  if (shared == MAP_FAILED) return -1;
  vcpu.run = static_cast<kvm_run*>(shared);
  const auto supported = supported_cpuid(system_.fd());
  if (!supported) return -1;
  const auto leaves = guest_cpuid(supported.value(), vcpu.index, static_cast<unsigned>(vcpus_.size()));
  if (acrn_kvm_set_cpuid(vcpu.fd.fd(), leaves.data(), static_cast<unsigned>(leaves.size())) != 0) return -1;
  const kvm_msr_entry memory_types = {0x2ff, 0, 0x806};  // on, all write-back
  return acrn_kvm_set_msrs(vcpu.fd.fd(), &memory_types, 1) == 1 ? 0 : -1;
}

int KvmHypervisor::add_slot(unsigned number, const acrn_vm_memmap& memory) const {
  kvm_userspace_memory_region region{};
  region.slot = number;
  region.guest_phys_addr = memory.user_vm_pa;
  region.memory_size = memory.len;
  region.userspace_addr = memory.vma_base;
  return ::ioctl(vm_.fd(), KVM_SET_USER_MEMORY_REGION, &region);
}

int KvmHypervisor::add_memory(const acrn_vm_memmap& memory) {
  if (state_ == State::kNone || memory.type != ACRN_MEMMAP_RAM) return kRefused;
  if (add_slot(static_cast<unsigned>(memory_.size()), memory) != 0) return -errno;
  memory_.push_back(memory);
  return 0;
}

int KvmHypervisor::set_vcpu_regs(const acrn_vcpu_regs& regs) {
  if (state_ == State::kNone || state_ == State::kRunning || regs.vcpu_id >= vcpus_.size()) return kRefused;
  const int fd = vcpus_[regs.vcpu_id].fd.fd();
  const acrn_regs& from = regs.vcpu_regs;
  kvm_sregs special;
  if (::ioctl(fd, KVM_GET_SREGS, &special) != 0) return -errno;
  set_segments(from, special);
  special.cr0 = from.cr0;
  special.cr3 = from.cr3;
  special.cr4 = from.cr4;
  special.efer = from.ia32_efer;
  const kvm_regs general = general_registers(from);
  if (::ioctl(fd, KVM_SET_SREGS, &special) != 0 || ::ioctl(fd, KVM_SET_REGS, &general) != 0) return -errno;
  return 0;
}

int KvmHypervisor::start_vm() {
  if (state_ != State::kCreated) return kRefused;
  struct sigaction action = {};
  action.sa_handler = [](int) {};  // its arrival is all that counts
  sigaction(vcpu_signal(), &action, nullptr);
  // The program's signals are for its own threads.
  sigset_t others, before;
  sigfillset(&others);
  sigdelset(&others, vcpu_signal());
  pthread_sigmask(SIG_SETMASK, &others, &before);
  state_ = State::kRunning;
  stopping_ = false;
  for (Vcpu& vcpu : vcpus_) {
    vcpu.requests.run();
    vcpu.thread = std::thread([this, &vcpu] { serve(vcpu); });
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return 0;
}

// Nothing lets a paused VM go on, so its virtual CPUs' threads end.
int KvmHypervisor::pause_vm() {
  if (state_ == State::kNone) return kRefused;
  stop();
  state_ = State::kPaused;
  return 0;
}

void KvmHypervisor::stop() {
  stopping_ = true;
  for (Vcpu& vcpu : vcpus_) {
    vcpu.requests.end();
    if (!vcpu.thread.joinable()) continue;
    // For a thread that is just about to enter the kernel; the signal is for one that is there.
    __atomic_store_n(&vcpu.run->immediate_exit, 1, __ATOMIC_RELAXED);
    pthread_kill(vcpu.thread.native_handle(), vcpu_signal());
    vcpu.thread.join();
  }
}

int KvmHypervisor::reset_vm() {
  if (state_ != State::kPaused) return kRefused;
  state_ = State::kCreated;
  return build();
}

int KvmHypervisor::destroy_vm() {
  if (state_ != State::kPaused) return kRefused;
  state_ = State::kNone;
  MutexLock lock(pins_mutex_);
  vm_.reset();
  return 0;
}

// ACRN sets the level of a pin; whether that asserts it is said by the I/O APIC's entry. The PIC's pins are active
// high.
void KvmHypervisor::drive(unsigned gsi, bool high) {
  pins_[gsi] = high;
  set_line(vm_.fd(), gsi, high != active_low(gsi));
  if (gsi < kPicInputs) set_line(vm_.fd(), kIoApicInputs + (gsi == 2 ? 0 : gsi), high);
}

// KVM ignores that bit. While the entry is masked: as the guest will have it, PCI's lines from 16 on active low.
bool KvmHypervisor::active_low(unsigned gsi) const {
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  if (::ioctl(vm_.fd(), KVM_GET_IRQCHIP, &chip) != 0) give_up("KVM_GET_IRQCHIP", errno);
  constexpr uint64_t kMasked = 1 << 16, kActiveLow = 1 << 13;
  const uint64_t entry = chip.chip.ioapic.redirtbl[gsi].bits;
  return (entry & kMasked) != 0 ? gsi >= kPicInputs : (entry & kActiveLow) != 0;
}

int KvmHypervisor::set_irqline(uint32_t gsi, uint32_t operation) {
  MutexLock lock(pins_mutex_);
  if (!vm_ || gsi >= kIoApicInputs) return kRefused;
  switch (operation) {
    case 0: drive(gsi, true); break;
    case 1: drive(gsi, false); break;
    case 2:
      drive(gsi, true);
      drive(gsi, false);
      break;
    case 3:
      drive(gsi, false);
      drive(gsi, true);
      break;
    default: return kRefused;
  }
  return 0;
}

int KvmHypervisor::inject_msi(uint64_t address, uint64_t data) {
  MutexLock lock(pins_mutex_);
  if (!vm_) return kRefused;
  kvm_msi message{};
  message.address_lo = static_cast<uint32_t>(address);
  message.address_hi = static_cast<uint32_t>(address >> 32);
  message.data = static_cast<uint32_t>(data);
  return ::ioctl(vm_.fd(), KVM_SIGNAL_MSI, &message) < 0 ? -errno : 0;
}

int KvmHypervisor::notify_request_finish(unsigned vcpu) {
  if (vcpu >= vcpus_.size()) return kRefused;
  vcpus_[vcpu].requests.finished();
  return 0;
}

void KvmHypervisor::serve(Vcpu& vcpu) {
  while (!stopping_) {
    if (::ioctl(vcpu.fd.fd(), KVM_RUN, 0L) != 0) {
      // The kick, or (EAGAIN) a processor that is still to be started.
      if (errno == EINTR || errno == EAGAIN) continue;
      give_up("KVM_RUN", errno);
    }
    switch (vcpu.run->exit_reason) {
      case KVM_EXIT_IO: port_access(vcpu); break;
      case KVM_EXIT_MMIO: memory_access(vcpu); break;
      case KVM_EXIT_INTR: break;
      case KVM_EXIT_SHUTDOWN:
        // A triple fault: ACRN asks for a power-off (S5 by PM1a), and the virtual CPU does not go on.
        request(vcpu, {ACRN_IOREQ_TYPE_PORTIO, ACRN_IOREQ_DIR_WRITE, 0x404, 2, 0x2000 | 5 << 10});
        return;
      default: give_up("exit reason", static_cast<int>(vcpu.run->exit_reason));
    }
  }
}

void KvmHypervisor::port_access(Vcpu& vcpu) {
  const auto& io = vcpu.run->io;
  auto* data = reinterpret_cast<uint8_t*>(vcpu.run) + io.data_offset;
  for (uint32_t i = 0; i < io.count; i++, data += io.size) {
    HsmAccess access{.address = io.port, .size = io.size};
    if (io.direction == KVM_EXIT_IO_OUT) {
      access.direction = ACRN_IOREQ_DIR_WRITE;
      std::memcpy(&access.value, data, io.size);
    }
    const auto value = request(vcpu, access);
    if (value && io.direction == KVM_EXIT_IO_IN) std::memcpy(data, &*value, io.size);
  }
}

void KvmHypervisor::memory_access(Vcpu& vcpu) {
  auto& memory = vcpu.run->mmio;
  HsmAccess access{.type = ACRN_IOREQ_TYPE_MMIO, .address = memory.phys_addr, .size = memory.len};
  if (memory.is_write != 0) {
    access.direction = ACRN_IOREQ_DIR_WRITE;
    std::memcpy(&access.value, memory.data, memory.len);
  }
  const auto value = request(vcpu, access);
  if (value && memory.is_write == 0) std::memcpy(memory.data, &*value, memory.len);
}

// nullopt: the virtual CPU is to end.
std::optional<uint64_t> KvmHypervisor::request(Vcpu& vcpu, const HsmAccess& access) const {
  const auto value = vcpu.requests.access(access);
  if (!value && !stopping_) give_up("its request's slot is not free: virtual CPU", static_cast<int>(vcpu.index));
  return value;
}

}  // namespace acrn::test
