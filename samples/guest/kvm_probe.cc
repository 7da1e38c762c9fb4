// Can /dev/kvm run a 64-bit guest? Runs a few instructions in long mode, with a time limit: opening the
// device says little where virtualisation is itself emulated. Exit status 0 if they ran, else 1 and one line
// that says why not.
//   kvm_probe [<seconds>]
#include <fcntl.h>
#include <linux/stddef.h>
// Some versions of this header put an empty struct before a flexible array; in C++ it has a size, and so the
// structures and the ioctl numbers made of them would be wrong. Later versions have this definition for C++.
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(type, name) type name[0]
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

static_assert(sizeof(kvm_cpuid2) == 8);

namespace {

constexpr std::uint64_t kMemorySize = 2 << 20;
constexpr std::uint64_t kGdt = 0x1000, kTables = 0x2000, kIdt = 0x6000, kIdtPointer = 0x7000, kCode = 0x8000;
constexpr std::uint16_t kPort = 0xf4;
constexpr std::uint32_t kExpected = 0x600d1deb;
constexpr unsigned kInvalidOpcode = 6;

// The guest, which is copied to kCode: enters long mode as a kernel does, takes an exception, uses SSE, and
// computes for a while. Some hosts get through simple instructions by emulating them one by one, and through
// nothing else.
asm(R"(
        .pushsection .rodata
kvm_probe_guest:
        .code32
        mov     $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
        mov     $0x2000, %eax           # kTables
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx       # EFER.LME
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     $0x80010033, %eax       # PG, WP, NE, ET, MP, PE
        mov     %eax, %cr0
        ljmp    $0x08, $0x8000 + (2f - kvm_probe_guest)
        .code64
2:      mov     $0x10, %eax
        mov     %eax, %ss
        mov     $0x10000, %esp
        lidt    0x7000                  # kIdtPointer
        mov     $0x30168ef5, %ebx
        ud2
        movq    %rbx, %xmm0
        paddq   %xmm0, %xmm0
        movq    %xmm0, %rax
        inc     %eax
        mov     $3000000, %ecx
3:      lea     (%rax, %rcx), %rax
        sub     %rcx, %rax
        dec     %ecx
        jnz     3b
        mov     $0xf4, %dx              # kPort
        out     %eax, %dx
        hlt
kvm_probe_invalid_opcode:
        addq    $2, (%rsp)              # past the ud2
        sub     $0x100000, %ebx         # seen by the result
        iretq
kvm_probe_guest_end:
        .popsection
)");
extern "C" const unsigned char kvm_probe_guest[], kvm_probe_invalid_opcode[], kvm_probe_guest_end[];

kvm_run* shared_run = nullptr;

void on_alarm(int) {
  if (shared_run != nullptr) shared_run->immediate_exit = 1;
}

[[noreturn]] void fail(const char* what, int error = 0) {
  std::printf("kvm_probe: no usable /dev/kvm: %s%s%s\n", what, error != 0 ? ": " : "",
              error != 0 ? std::strerror(error) : "");
  std::fflush(stdout);
  _exit(1);
}

int control(int fd, const char* name, unsigned long request, unsigned long argument) {
  const int result = ioctl(fd, request, argument);
  if (result < 0) fail(name, errno);
  return result;
}

template <typename T>
int control(int fd, const char* name, unsigned long request, T* argument) {
  return control(fd, name, request, reinterpret_cast<unsigned long>(argument));
}

kvm_segment segment(std::uint16_t selector, std::uint8_t type) {
  kvm_segment result{};
  result.limit = 0xffffffff;
  result.selector = selector;
  result.type = type;
  result.present = 1;
  result.s = 1;
  result.g = 1;
  result.db = 1;
  return result;
}

void run_guest(unsigned seconds) {
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) fail("open", errno);
  if (control(kvm, "KVM_GET_API_VERSION", KVM_GET_API_VERSION, 0UL) != KVM_API_VERSION)
    fail("another API version");
  const int vm = control(kvm, "KVM_CREATE_VM", KVM_CREATE_VM, 0UL);
  if (ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0)
    control(vm, "KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR, 0xfffbd000UL);
  control(vm, "KVM_CREATE_IRQCHIP", KVM_CREATE_IRQCHIP, 0UL);

  void* memory = mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of memory", errno);
  auto* bytes = static_cast<unsigned char*>(memory);
  // One 2 MiB page, identity mapped: PML4, page directory pointers, page directory.
  const std::uint64_t entries[] = {(kTables + 0x1000) | 3, (kTables + 0x2000) | 3, 0x83};
  for (unsigned level = 0; level < 3; ++level)
    std::memcpy(bytes + kTables + level * 0x1000, &entries[level], sizeof entries[level]);
  const std::uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff};
  std::memcpy(bytes + kGdt, gdt, sizeof gdt);
  std::memcpy(bytes + kCode, kvm_probe_guest,
              static_cast<std::size_t>(kvm_probe_guest_end - kvm_probe_guest));
  const std::uint64_t handler =
      kCode + static_cast<std::uint64_t>(kvm_probe_invalid_opcode - kvm_probe_guest);
  const std::uint64_t gate = handler | 0x08 << 16 | 0x8e00ULL << 32;  // below 64 KiB; interrupt gate
  std::memcpy(bytes + kIdt + kInvalidOpcode * 16, &gate, sizeof gate);
  const std::uint16_t idt_limit = 0xfff;
  const std::uint64_t idt_base = kIdt;
  std::memcpy(bytes + kIdtPointer, &idt_limit, sizeof idt_limit);
  std::memcpy(bytes + kIdtPointer + 2, &idt_base, sizeof idt_base);

  kvm_userspace_memory_region region{};
  region.memory_size = kMemorySize;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory);
  control(vm, "KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION, &region);

  const int vcpu = control(vm, "KVM_CREATE_VCPU", KVM_CREATE_VCPU, 0UL);
  const int run_size = control(kvm, "KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE, 0UL);
  void* mapped =
      mmap(nullptr, static_cast<std::size_t>(run_size), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (mapped == MAP_FAILED) fail("mmap of the vCPU", errno);
  auto* run = static_cast<kvm_run*>(mapped);

  // Without long mode in its CPUID a vCPU may not have EFER.LME.
  constexpr unsigned kMostEntries = 256;
  auto* cpuid =
      static_cast<kvm_cpuid2*>(std::calloc(1, sizeof(kvm_cpuid2) + kMostEntries * sizeof(kvm_cpuid_entry2)));
  if (cpuid == nullptr) fail("no memory");
  cpuid->nent = kMostEntries;
  control(kvm, "KVM_GET_SUPPORTED_CPUID", KVM_GET_SUPPORTED_CPUID, cpuid);
  bool long_mode = false;
  for (unsigned i = 0; i < cpuid->nent; ++i)
    if (cpuid->entries[i].function == 0x80000001) long_mode = (cpuid->entries[i].edx >> 29 & 1) != 0;
  if (!long_mode) fail("it offers no long mode");
  control(vcpu, "KVM_SET_CPUID2", KVM_SET_CPUID2, cpuid);

  kvm_sregs sregs{};
  control(vcpu, "KVM_GET_SREGS", KVM_GET_SREGS, &sregs);
  sregs.gdt.base = kGdt;
  sregs.gdt.limit = sizeof gdt - 1;
  sregs.cs = segment(0x18, 0xb);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(0x10, 0x3);
  sregs.cr0 = 0x11;  // ET, PE
  control(vcpu, "KVM_SET_SREGS", KVM_SET_SREGS, &sregs);
  kvm_regs regs{};
  regs.rip = kCode;
  regs.rflags = 2;
  control(vcpu, "KVM_SET_REGS", KVM_SET_REGS, &regs);

  shared_run = run;
  struct sigaction action {};
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, nullptr);
  alarm(seconds);
  char text[96];
  for (int exits = 0; exits < 1000; ++exits) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) {
      if (errno == EINTR && run->immediate_exit != 0) fail("the guest did not get anywhere in time");
      if (errno == EINTR || errno == EAGAIN) continue;
      fail("KVM_RUN", errno);
    }
    if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.port == kPort) {
      std::uint32_t value = 0;
      std::memcpy(&value, reinterpret_cast<unsigned char*>(run) + run->io.data_offset, sizeof value);
      if (run->io.size != 4 || value != kExpected) fail("the guest computed something else");
      return;
    }
    if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
      std::snprintf(text, sizeof text, "the processor refuses the guest (reason %#llx)",
                    static_cast<unsigned long long>(run->fail_entry.hardware_entry_failure_reason));
    else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
      std::snprintf(text, sizeof text, "internal error %u of KVM (1: an instruction that it cannot emulate)",
                    run->internal.suberror);
    else
      std::snprintf(text, sizeof text, "unexpected exit, reason %u", run->exit_reason);
    fail(text);
  }
  fail("the guest does not get on");
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seconds = argc > 1 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : 2;
  // In a process of its own: one that does not even hear its alarm is left behind.
  const pid_t child = fork();
  if (child < 0) fail("fork", errno);
  if (child == 0) {
    run_guest(seconds);
    _exit(0);
  }
  const timespec step{0, 2'000'000};
  for (unsigned waited = 0; waited < (seconds + 1) * 500; ++waited) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) {
      if (WIFSIGNALED(status)) fail("the probe was killed");
      return WEXITSTATUS(status);
    }
    nanosleep(&step, nullptr);
  }
  kill(child, SIGKILL);
  fail("the guest hangs, and does not heed a signal");
}
