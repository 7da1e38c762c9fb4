#include "dm/hypervisor/probe.h"

#include <chrono>

#include "acrn/base/concat.h"
#include "dm/base/event.h"
#include "dm/boot/boot_environment.h"
#include "dm/boot/memory_layout.h"
#include "dm/mem/guest_ram.h"

namespace acrn {
namespace {

constexpr std::chrono::milliseconds kLimit{2000};
constexpr uint64_t kRam = 2 * kMiB;
constexpr uint16_t kPort = 0x80;

// The guest: takes an exception, uses SSE, computes for a while and says the answer again and again. There are
// hypervisors that get through plain instructions by emulating them one at a time, and through nothing else.
constexpr uint32_t kAnswer = 42;
asm(R"(
        .pushsection .rodata
        .globl  acrn_probe_guest, acrn_probe_guest_end
acrn_probe_guest:
        lea     1f(%rip), %rax          # gate 6, invalid opcode, of a table at 0x1000
        mov     $0x1000, %edi
        mov     %ax, 96(%rdi)
        movw    $0x10, 98(%rdi)         # the code segment
        movw    $0x8e00, 100(%rdi)      # present, an interrupt gate
        shr     $16, %eax
        mov     %ax, 102(%rdi)
        sub     $16, %rsp
        movw    $0x6f, (%rsp)
        mov     %rdi, 2(%rsp)
        lidt    (%rsp)
        xor     %ebx, %ebx
        ud2
        mov     %cr4, %rax
        or      $0x600, %eax            # OSFXSR, OSXMMEXCPT
        mov     %rax, %cr4
        movq    %rbx, %xmm0
        paddq   %xmm0, %xmm0
        movq    %xmm0, %rax
        mov     $10000, %ecx
2:      dec     %ecx
        jnz     2b
3:      out     %al, $0x80
        jmp     3b
1:      mov     $21, %ebx
        addq    $2, (%rsp)              # past ud2
        iretq
acrn_probe_guest_end:
        .popsection
)");
extern "C" const std::byte acrn_probe_guest[], acrn_probe_guest_end[];

class Answer final : public ExitHandler {
 public:
  void wait() { event_.wait(kLimit); }
  // Once the vCPU has ended.
  bool given() const { return given_; }
  const std::string& failure() const { return failure_; }

 private:
  uint32_t io_read(uint16_t, unsigned) override { return ~0u; }
  void io_write(uint16_t port, unsigned, uint32_t value) override {
    given_ |= port == kPort && value == kAnswer;
    if (given_) event_.signal();
  }
  uint64_t memory_read(uint64_t, unsigned) override { return ~uint64_t{0}; }
  void memory_write(uint64_t, unsigned, uint64_t) override {}
  uint32_t config_read(PciAddress, unsigned, unsigned) override { return ~0u; }
  void config_write(PciAddress, unsigned, unsigned, uint32_t) override {}
  void cpu_shutdown() override {}
  void cpu_failed(std::string what) override {
    failure_ = std::move(what);
    event_.signal();
  }

  Event event_;
  bool given_ = false;
  std::string failure_;
};

}  // namespace

Result<void> probe_hypervisor(Hypervisor& hypervisor) {
  auto ram = create_guest_ram(Gpa{0}, kRam);
  if (!ram) return ram.error();
  if (auto mapped = hypervisor.map_ram(ram.value()); !mapped) return mapped.error();
  const MemoryMap memory({ram.value()});
  const auto code_size = static_cast<size_t>(acrn_probe_guest_end - acrn_probe_guest);
  memory.slice(Gpa{kKernelBase}, code_size)->copy_in(0, acrn_probe_guest, code_size);
  BootState boot = write_boot_environment(memory, true);
  boot.instruction = kKernelBase;
  Answer answer;
  const auto started = hypervisor.start(boot, answer);
  if (started) answer.wait();
  hypervisor.stop();
  if (!started) return started.error();
  if (answer.given()) return {};
  return Error{ErrorKind::kUnavailable,
               concat("no usable hypervisor: it does not run a 64-bit guest here (",
                      answer.failure().empty() ? "no answer within two seconds" : answer.failure(),
                      "); run on hardware with virtualization")};
}

}  // namespace acrn
