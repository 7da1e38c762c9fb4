// The stand-in for ACRN's kernel module does what the module does, request by request (Linux, drivers/virt/acrn).
#include "tests/support/fake_hsm.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>
#include <thread>

#include "acrn/base/unique_fd.h"
#include "tests/support/event_fd.h"
#include "tests/support/scripted_hypervisor.h"
#include "tests/support/test.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr size_t kPage = 4096;
constexpr uint64_t kBell = 0x3010;

class Rig {
 public:
  explicit Rig(ScriptedHypervisor::Options below = {}, FakeHsmOptions options = {})
      : hypervisor(below), module(hypervisor, options) {
    hypervisor.connect(module);
    creation.ioreq_buf = reinterpret_cast<uintptr_t>(&pages[0]);
  }

  // 0 or more, or a negative errno.
  int ask(unsigned long request, uintptr_t argument = 0) {
    const int result = module.call(request, argument);
    return result < 0 ? -errno : result;
  }
  template <class T>
  int ask(unsigned long request, T* argument) {
    return ask(request, reinterpret_cast<uintptr_t>(argument));
  }
  int create() { return ask(ACRN_IOCTL_CREATE_VM, &creation); }
  Rig& created() {
    EXPECT_EQ(create(), 0);
    return *this;
  }
  Rig& running() {
    created();
    acrn_vcpu_regs regs{};
    EXPECT_EQ(ask(ACRN_IOCTL_SET_VCPU_REGS, &regs), 0);
    EXPECT_EQ(ask(ACRN_IOCTL_CREATE_IOREQ_CLIENT), 0);
    EXPECT_EQ(ask(ACRN_IOCTL_START_VM), 0);
    return *this;
  }

  int add_bell(int fd, uint64_t address = kBell, std::optional<uint64_t> data = {}, uint32_t length = 2,
               uint32_t flags = 0) {
    acrn_ioeventfd request{};
    request.fd = static_cast<uint32_t>(fd);
    request.flags = ACRN_IOEVENTFD_FLAG_PIO | flags | (data ? ACRN_IOEVENTFD_FLAG_DATAMATCH : 0);
    request.addr = address;
    request.len = length;
    request.data = data.value_or(0);
    return ask(ACRN_IOCTL_IOEVENTFD, &request);
  }
  int remove_bell(int fd) { return add_bell(fd, 0, {}, 0, ACRN_IOEVENTFD_FLAG_DEASSIGN); }
  int irqfd(int fd, uint64_t address, uint32_t flags = 0) {
    acrn_irqfd request{};
    request.fd = fd;
    request.flags = flags;
    request.msi = {address, 0x41};
    return ask(ACRN_IOCTL_IRQFD, &request);
  }
  int notify(uint32_t vcpu) {
    acrn_ioreq_notify request{};
    request.vcpu = vcpu;
    return ask(ACRN_IOCTL_NOTIFY_REQUEST_FINISH, &request);
  }
  acrn_io_request& slot(unsigned vcpu) { return module.requests()->req_slot[vcpu]; }
  int slot_state(unsigned vcpu) {
    return static_cast<int>(std::atomic_ref<uint32_t>(slot(vcpu).processed).load(std::memory_order_acquire));
  }

  ScriptedHypervisor hypervisor;
  alignas(kPage) std::array<std::byte, 2 * kPage> pages{};
  acrn_vm_creation creation{};
  FakeHsm module;
};

// A device model of one thread: answers a read with the address and the request's type, until its client goes.
class Answerer {
 public:
  explicit Answerer(Rig& rig) : rig_(rig), thread_([this] { serve(); }) {}
  ~Answerer() {
    rig_.ask(ACRN_IOCTL_DESTROY_IOREQ_CLIENT);
    thread_.join();
  }
  static uint64_t answer(uint32_t type, uint64_t address) { return address ^ type << 4; }

 private:
  void serve() {
    while (rig_.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT) == 0) {
      for (unsigned vcpu = 0; vcpu < ACRN_IO_REQUEST_MAX; vcpu++) {
        acrn_io_request_buffer* const page = rig_.module.requests();
        if (page == nullptr) return;
        acrn_io_request& slot = page->req_slot[vcpu];
        const std::atomic_ref<uint32_t> state(slot.processed);
        if (state.load(std::memory_order_acquire) != ACRN_IOREQ_STATE_PROCESSING || slot.kernel_handled != 0) continue;
        if (slot.type == ACRN_IOREQ_TYPE_PCICFG) {
          slot.reqs.pci_request.value = static_cast<uint32_t>(answer(slot.type, slot.reqs.pci_request.reg));
        } else if (slot.type == ACRN_IOREQ_TYPE_MMIO) {
          slot.reqs.mmio_request.value = answer(slot.type, slot.reqs.mmio_request.address);
        } else {
          slot.reqs.pio_request.value = static_cast<uint32_t>(answer(slot.type, slot.reqs.pio_request.address));
        }
        rig_.notify(vcpu);
      }
    }
  }

  Rig& rig_;
  std::thread thread_;
};

// A thread that can be sent a signal which does nothing but interrupt.
void interrupt(std::thread& thread) {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &nothing, nullptr);
  ::pthread_kill(thread.native_handle(), SIGUSR1);
}

// A VM's life.

TEST(without_a_vm_only_creation_is_valid) {
  Rig rig;
  const std::initializer_list<unsigned long> requests{ACRN_IOCTL_START_VM, ACRN_IOCTL_DESTROY_VM,
                                                      ACRN_IOCTL_CREATE_IOREQ_CLIENT, ACRN_IOCTL_SET_IRQLINE, 0x1234};
  for (const unsigned long request : requests) EXPECT_EQ(rig.ask(request), -EINVAL);
  rig.created();
  EXPECT_EQ(rig.ask(ACRN_IOCTL_PAUSE_VM), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_VM), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CREATE_IOREQ_CLIENT), -EINVAL);
  EXPECT(rig.module.requests() == nullptr);
}

TEST(an_unknown_request_is_no_request) {
  Rig rig;
  rig.created();
  EXPECT_EQ(rig.ask(_IO(ACRN_IOCTL_TYPE, 0xfe)), -ENOTTY);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio), -ENOTTY);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupVmEventRing), -ENOTTY);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupVmEventFd), -ENOTTY);
}

TEST(creation_answers_with_the_hypervisors_numbers_and_frees_every_slot) {
  Rig rig({.vcpus = 3});
  rig.created();
  EXPECT_EQ(rig.creation.vmid, 1);
  EXPECT_EQ(rig.creation.vcpu_num, 3);
  for (unsigned vcpu = 0; vcpu < ACRN_IO_REQUEST_MAX; vcpu++) EXPECT_EQ(rig.slot_state(vcpu), ACRN_IOREQ_STATE_FREE);
}

TEST(an_affinity_decides_the_number_of_virtual_cpus) {
  Rig rig({.vcpus = 3});
  rig.creation.cpu_affinity = 0b1011'0000'0000;
  rig.created();
  EXPECT_EQ(rig.creation.vcpu_num, 3);
  Rig one({.vcpus = 3});
  one.creation.cpu_affinity = 4;
  one.created();
  EXPECT_EQ(one.creation.vcpu_num, 1);
}

TEST(creation_with_a_reserved_field_is_refused) {
  Rig rig;
  rig.creation.reserved0 = 1;
  EXPECT_EQ(rig.create(), -EINVAL);
  rig.creation.reserved0 = 0;
  rig.creation.reserved1 = 1;
  EXPECT_EQ(rig.create(), -EINVAL);
  EXPECT(rig.hypervisor.calls().empty());
}

TEST(a_request_page_that_is_none_is_refused_and_the_hypervisor_told) {
  for (const uint64_t where : {uint64_t{0}, uint64_t{kPage / 2}}) {
    Rig rig;
    rig.creation.ioreq_buf = where == 0 ? 0 : rig.creation.ioreq_buf + where;
    EXPECT_EQ(rig.create(), -EINVAL);
    EXPECT_EQ(rig.hypervisor.calls().back(), std::string("destroy_vm"));
  }
}

TEST(a_creation_that_the_hypervisor_refuses_can_be_tried_again) {
  class Reluctant : public HsmHypervisor {
   public:
    unsigned tries = 0;
    int create_vm(acrn_vm_creation& creation) override {
      creation.vmid = tries == 1 ? 0xffff : 1;
      return tries++ == 0 ? -EBUSY : 0;
    }
    int destroy_vm() override { return 0; }
    int start_vm() override { return -EPERM; }
    int pause_vm() override { return 0; }
    int reset_vm() override { return 0; }
    int set_vcpu_regs(const acrn_vcpu_regs&) override { return 0; }
    int add_memory(const acrn_vm_memmap&) override { return 0; }
    int set_irqline(uint32_t, uint32_t) override { return 0; }
    int inject_msi(uint64_t, uint64_t) override { return 0; }
    int notify_request_finish(unsigned) override { return 0; }
  } reluctant;
  alignas(kPage) std::array<std::byte, kPage> page{};
  FakeHsm module(reluctant);
  acrn_vm_creation creation{};
  creation.ioreq_buf = reinterpret_cast<uintptr_t>(page.data());
  for (const int expected : {-1, -1, 0, -1}) {  // refused, no VM's number, made, and only once
    acrn_vm_creation answer = creation;
    EXPECT_EQ(module.call(ACRN_IOCTL_CREATE_VM, reinterpret_cast<uintptr_t>(&answer)), expected);
    if (expected < 0) EXPECT_EQ(errno, EINVAL);
  }
  EXPECT_EQ(reluctant.tries, 3u);
  EXPECT_EQ(module.call(ACRN_IOCTL_START_VM, 0), -1);  // as the hypervisor says it
  EXPECT_EQ(errno, EPERM);
}

TEST(a_vm_starts_when_it_has_registers_and_after_a_reset) {
  Rig rig;
  acrn_vcpu_regs regs{};
  rig.created();
  EXPECT_EQ(rig.ask(ACRN_IOCTL_START_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_RESET_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_SET_VCPU_REGS, &regs), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_START_VM), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_START_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_SET_VCPU_REGS, &regs), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_RESET_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_PAUSE_VM), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_START_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_RESET_VM), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_START_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_SET_VCPU_REGS, &regs), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_START_VM), 0);
}

TEST(a_running_vm_is_not_destroyed_but_loses_its_clients) {
  Rig rig;
  rig.running();
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_VM), -EINVAL);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), -ENODEV);
  EXPECT(rig.module.requests() == nullptr);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_PAUSE_VM), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_VM), 0);
}

TEST(close_tries_to_destroy_the_vm) {
  Rig rig;
  rig.running();
  const EventFd bell;
  const size_t before = open_fds();
  EXPECT_EQ(rig.add_bell(bell.fd()), 0);
  EXPECT_EQ(rig.irqfd(bell.fd(), 0xfee00000), 0);
  EXPECT(open_fds() > before);
  rig.module.close();
  EXPECT_EQ(rig.hypervisor.calls().back(), std::string("destroy_vm"));
  EXPECT(open_fds() <= before);
}

// What a VM is made of.

TEST(a_reserved_field_of_the_registers_is_refused) {
  Rig rig;
  rig.created();
  const auto refused = [&](auto&& spoil) {
    acrn_vcpu_regs regs{};
    spoil(regs);
    return rig.ask(ACRN_IOCTL_SET_VCPU_REGS, &regs) == -EINVAL;
  };
  EXPECT(refused([](acrn_vcpu_regs& regs) { regs.reserved[2] = 1; }));
  EXPECT(refused([](acrn_vcpu_regs& regs) { regs.vcpu_regs.reserved_32[2] = 1; }));
  EXPECT(refused([](acrn_vcpu_regs& regs) { regs.vcpu_regs.reserved_64[3] = 1; }));
  EXPECT(refused([](acrn_vcpu_regs& regs) { regs.vcpu_regs.gdt.reserved[0] = 1; }));
  EXPECT(refused([](acrn_vcpu_regs& regs) { regs.vcpu_regs.idt.reserved[2] = 1; }));
  EXPECT(rig.hypervisor.regs().empty());
  EXPECT_EQ(rig.ask(ACRN_IOCTL_SET_VCPU_REGS, static_cast<acrn_vcpu_regs*>(nullptr)), -EFAULT);
}

TEST(memory_is_ram_or_mmio_in_whole_pages_that_exist) {
  Rig rig;
  rig.created();
  const auto set = [&](uint32_t type, uint64_t gpa, uint64_t host, uint64_t length) {
    acrn_vm_memmap memory{};
    memory.type = type;
    memory.user_vm_pa = gpa;
    memory.vma_base = host;
    memory.len = length;
    return rig.ask(ACRN_IOCTL_SET_MEMSEG, &memory);
  };
  const auto host = reinterpret_cast<uintptr_t>(rig.pages.data());
  EXPECT_EQ(set(2, 0, host, kPage), -EINVAL);
  EXPECT_EQ(set(ACRN_MEMMAP_RAM, 0, host, 0), -EINVAL);
  EXPECT_EQ(set(ACRN_MEMMAP_RAM, 1, host, kPage), -EINVAL);
  EXPECT_EQ(set(ACRN_MEMMAP_RAM, 0, host + 8, kPage), -EINVAL);
  EXPECT_EQ(set(ACRN_MEMMAP_RAM, 0, host, kPage + 1), -EINVAL);
  EXPECT_EQ(set(ACRN_MEMMAP_RAM, 0, kPage, kPage), -EFAULT);
  for (unsigned i = 0; i < 256; i++) EXPECT_EQ(set(ACRN_MEMMAP_RAM, i * 2 * kPage, host, 2 * kPage), 0);
  EXPECT_EQ(set(ACRN_MEMMAP_RAM, 1 << 30, host, kPage), -ENOMEM);
  EXPECT_EQ(set(ACRN_MEMMAP_MMIO, 0xf000'0000, 0xe000'0000, kPage), 0);
  EXPECT_EQ(rig.hypervisor.memory().size(), 257u);
  EXPECT_EQ(rig.hypervisor.memory().at(1).user_vm_pa, 2 * kPage);
}

TEST(an_interrupt_line_is_set_by_value) {
  Rig rig;
  rig.created();
  EXPECT(!rig.hypervisor.line(17));
  for (uint64_t operation = 0; operation < 4; operation++) {
    EXPECT_EQ(rig.ask(ACRN_IOCTL_SET_IRQLINE, 17 | operation << 32), 0);
  }
  EXPECT_EQ(rig.ask(ACRN_IOCTL_SET_IRQLINE, 17 | uint64_t{4} << 32), -EINVAL);
  EXPECT(rig.hypervisor.line_operations(17) == std::vector<uint32_t>({0, 1, 2, 3}));
  EXPECT(rig.hypervisor.line(17));  // a falling pulse ends high
}

TEST(a_message_is_injected) {
  Rig rig;
  rig.created();
  acrn_msi_entry msi{0xfee01000, 0x4041};
  EXPECT_EQ(rig.ask(ACRN_IOCTL_INJECT_MSI, &msi), 0);
  EXPECT_EQ(rig.hypervisor.messages().at(0).msi_addr, 0xfee01000u);
  EXPECT_EQ(rig.hypervisor.messages().at(0).msi_data, 0x4041u);
}

// Requests.

TEST(there_is_one_client_at_a_time) {
  Rig rig;
  rig.created();
  EXPECT_EQ(rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), -ENODEV);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_IOREQ_CLIENT), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CREATE_IOREQ_CLIENT), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CREATE_IOREQ_CLIENT), -EEXIST);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_IOREQ_CLIENT), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CREATE_IOREQ_CLIENT), 0);
}

TEST(a_request_goes_through_its_states_and_back_to_free) {
  Rig rig({.vcpus = 2});
  rig.running();
  uint64_t value = 0;
  HsmVcpuThread cpu(rig.hypervisor.vcpu(1), [&] { value = rig.hypervisor.vcpu(1).in(0x64, 1).value_or(~0ull); });
  EXPECT_EQ(rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), 0);  // as long as it is pending
  EXPECT_EQ(rig.slot_state(1), ACRN_IOREQ_STATE_PROCESSING);
  acrn_io_request& slot = rig.slot(1);
  EXPECT(slot.type == ACRN_IOREQ_TYPE_PORTIO);
  EXPECT_EQ(slot.kernel_handled, 0u);
  EXPECT(slot.reqs.pio_request.direction == ACRN_IOREQ_DIR_READ);
  EXPECT_EQ(slot.reqs.pio_request.address, 0x64u);
  EXPECT_EQ(slot.reqs.pio_request.size, 1u);
  slot.reqs.pio_request.value = 0x1c;
  EXPECT_EQ(rig.notify(1), 0);
  cpu.join();
  EXPECT_EQ(value, 0x1cu);
  EXPECT_EQ(rig.slot_state(1), ACRN_IOREQ_STATE_FREE);
  EXPECT_EQ(rig.hypervisor.finished(), 1u);
  EXPECT_EQ(rig.module.stray_notifies(), 0u);
}

TEST(a_notification_names_a_virtual_cpu_that_exists) {
  Rig rig({.vcpus = 2});
  rig.running();
  acrn_ioreq_notify request{};
  request.reserved = 1;
  EXPECT_EQ(rig.ask(ACRN_IOCTL_NOTIFY_REQUEST_FINISH, &request), -EINVAL);
  EXPECT_EQ(rig.notify(2), -EINVAL);
  EXPECT_EQ(rig.module.stray_notifies(), 0u);
  EXPECT_EQ(rig.notify(1), 0);  // nobody asked
  EXPECT_EQ(rig.module.stray_notifies(), 1u);
  EXPECT(!rig.hypervisor.vcpu(1).in(0x64, 1));  // which spoils the slot
}

TEST(a_virtual_cpu_that_polls_is_not_notified) {
  Rig rig({.polling = true});
  rig.running();
  Answerer answerer(rig);
  EXPECT_EQ(rig.hypervisor.vcpu(0).read(0xd000'0000, 4).value_or(0),
            Answerer::answer(ACRN_IOREQ_TYPE_MMIO, 0xd000'0000));
  EXPECT_EQ(rig.hypervisor.finished(), 0u);
}

TEST(requests_of_sixteen_virtual_cpus_at_once_are_answered) {
  Rig rig({.vcpus = ACRN_IO_REQUEST_MAX});
  rig.running();
  Answerer answerer(rig);
  std::atomic<unsigned> right = 0;
  std::vector<HsmVcpuThread> cpus;
  for (unsigned index = 0; index < ACRN_IO_REQUEST_MAX; index++) {
    cpus.emplace_back(rig.hypervisor.vcpu(index), [&, index] {
      for (unsigned i = 0; i < 50; i++) {
        HsmVcpu& cpu = rig.hypervisor.vcpu(index);
        const uint64_t address = 0x1000 + index * 0x100 + i;
        if (cpu.in(address, 4) == Answerer::answer(ACRN_IOREQ_TYPE_PORTIO, address)) right++;
        if (cpu.read(address, 8) == Answerer::answer(ACRN_IOREQ_TYPE_MMIO, address)) right++;
      }
    });
  }
  for (HsmVcpuThread& cpu : cpus) cpu.join();
  EXPECT_EQ(right.load(), 16u * 100);
  EXPECT_EQ(rig.module.stray_notifies(), 0u);
}

TEST(an_attach_ends_when_the_client_goes) {
  Rig rig;
  rig.running();
  int result = 0;
  std::thread attached([&] { result = rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT); });
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_IOREQ_CLIENT), 0);
  attached.join();
  EXPECT_EQ(result, -ENODEV);
}

TEST(a_signal_ends_an_attach_with_nothing_or_with_an_error) {
  for (const bool error : {false, true}) {
    Rig rig({}, {.interrupt_is_error = error});
    rig.running();
    std::atomic<int> result = 1;
    std::thread attached([&] { result = rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT); });
    EXPECT(wait_until([&] {
      interrupt(attached);
      return result.load() != 1;
    }));
    attached.join();
    EXPECT_EQ(result.load(), error ? -EINTR : 0);
  }
}

TEST(without_a_client_requests_wait_and_those_behind_them) {
  Rig rig({.vcpus = 2});
  rig.running();
  EXPECT_EQ(rig.ask(ACRN_IOCTL_DESTROY_IOREQ_CLIENT), 0);
  HsmVcpu &first = rig.hypervisor.vcpu(0), &second = rig.hypervisor.vcpu(1);
  HsmVcpuThread waits(first, [&] { first.in(0x64, 1); });
  EXPECT(wait_until([&] { return rig.slot_state(0) == ACRN_IOREQ_STATE_PENDING; }));
  HsmVcpuThread waits_too(second, [&] { second.out(0xcf8, 4, 0); });  // which takes no client
  EXPECT(wait_until([&] { return rig.slot_state(1) == ACRN_IOREQ_STATE_PENDING; }));
  rig.module.upcall();
  EXPECT_EQ(rig.slot_state(1), ACRN_IOREQ_STATE_PENDING);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CREATE_IOREQ_CLIENT), 0);
  rig.module.upcall();
  EXPECT_EQ(rig.slot_state(0), ACRN_IOREQ_STATE_PROCESSING);
  EXPECT_EQ(rig.notify(0), 0);
  waits.join();
  waits_too.join();
}

TEST(clearing_completes_what_the_client_has) {
  Rig rig({.vcpus = 3});
  rig.running();
  HsmVcpu &first = rig.hypervisor.vcpu(0), &last = rig.hypervisor.vcpu(2);
  HsmVcpuThread cpus[] = {{first, [&] { first.in(0x64, 1); }}, {last, [&] { last.read(0xd000'0000, 4); }}};
  EXPECT(wait_until([&] {
    return rig.slot_state(0) == ACRN_IOREQ_STATE_PROCESSING && rig.slot_state(2) == ACRN_IOREQ_STATE_PROCESSING;
  }));
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CLEAR_VM_IOREQ), 0);
  for (HsmVcpuThread& cpu : cpus) cpu.join();
  EXPECT_EQ(rig.hypervisor.finished(), 2u);
  EXPECT_EQ(rig.slot_state(0), ACRN_IOREQ_STATE_FREE);
}

TEST(a_pause_ends_exits_and_a_reset_frees_their_slots) {
  Rig rig;
  rig.running();
  bool ended = false;
  HsmVcpuThread cpu(rig.hypervisor.vcpu(0), [&] { ended = !rig.hypervisor.vcpu(0).in(0x64, 1).has_value(); });
  EXPECT_EQ(rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), 0);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_PAUSE_VM), 0);
  cpu.join();
  EXPECT(ended);
  EXPECT(!rig.hypervisor.vcpu(0).in(0x64, 1));  // a paused one makes none
  EXPECT_EQ(rig.slot_state(0), ACRN_IOREQ_STATE_PROCESSING);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_CLEAR_VM_IOREQ), 0);
  EXPECT_EQ(rig.slot_state(0), ACRN_IOREQ_STATE_COMPLETE);
  EXPECT_EQ(rig.ask(ACRN_IOCTL_RESET_VM), 0);
  EXPECT_EQ(rig.slot_state(0), ACRN_IOREQ_STATE_FREE);
}

// Configuration space by ports.

TEST(the_configuration_address_is_kept_by_the_module) {
  Rig rig;
  rig.running();
  HsmVcpu& cpu = rig.hypervisor.vcpu(0);  // nobody answers
  EXPECT(cpu.out(0xcf8, 4, 0x8000'4810));
  EXPECT_EQ(cpu.in(0xcf8, 4).value_or(0), 0x8000'4810u);
  EXPECT(cpu.out(0xcf8, 4, 0x4810));
  EXPECT_EQ(cpu.in(0xcfc, 4).value_or(0), 0xffff'ffffu);
  EXPECT_EQ(cpu.in(0xcfe, 2).value_or(0), 0xffffu);
  EXPECT(cpu.out(0xcfc, 4, 1));
}

TEST(configuration_data_becomes_a_request_of_its_own_type) {
  Rig rig;
  rig.running();
  HsmVcpu& cpu = rig.hypervisor.vcpu(0);
  EXPECT(cpu.out(0xcf8, 4, 0x8f12'4a3c));  // register 0xf3c of 18:9.2
  std::optional<uint64_t> value;
  HsmVcpuThread reader(cpu, [&] { value = cpu.in(0xcfe, 2); });
  EXPECT_EQ(rig.ask(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), 0);
  acrn_io_request& slot = rig.slot(0);
  EXPECT(slot.type == ACRN_IOREQ_TYPE_PCICFG);
  const acrn_pci_request& request = slot.reqs.pci_request;
  EXPECT_EQ(request.bus, 0x12u);
  EXPECT_EQ(request.dev, 9u);
  EXPECT_EQ(request.func, 2u);
  EXPECT_EQ(request.reg, 0xf3eu);
  EXPECT_EQ(request.size, 2u);
  EXPECT(request.direction == ACRN_IOREQ_DIR_READ);
  slot.reqs.pci_request.value = 0x1af4;
  EXPECT_EQ(rig.notify(0), 0);
  reader.join();
  EXPECT_EQ(value.value_or(0), 0x1af4u);
}

TEST(the_reset_port_beside_the_configuration_address_is_the_clients) {
  Rig rig;
  rig.running();
  Answerer answerer(rig);
  EXPECT_EQ(rig.hypervisor.vcpu(0).in(0xcf9, 1).value_or(0), Answerer::answer(ACRN_IOREQ_TYPE_PORTIO, 0xcf9) & 0xff);
}

// Ioeventfds.

TEST(a_write_of_its_data_signals_an_ioeventfd_without_a_request) {
  Rig rig;
  rig.running();
  const EventFd first, second;
  EXPECT_EQ(rig.add_bell(first.fd(), kBell, 0), 0);
  EXPECT_EQ(rig.add_bell(second.fd(), kBell, 1), 0);
  HsmVcpu& cpu = rig.hypervisor.vcpu(0);
  EXPECT(cpu.out(kBell, 2, 1));
  EXPECT(cpu.out(kBell, 2, 1));
  EXPECT(cpu.out(kBell, 2, 0));
  EXPECT_EQ(first.count(), 1u);
  EXPECT_EQ(second.count(), 2u);
  EXPECT_EQ(rig.slot(0).kernel_handled, 1u);
}

TEST(a_range_with_an_ioeventfd_belongs_to_the_kernel_whatever_the_data) {
  Rig rig;
  rig.running();
  const EventFd bell;
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1), 0);
  HsmVcpu& cpu = rig.hypervisor.vcpu(0);
  EXPECT(cpu.out(kBell, 2, 7));  // dropped
  EXPECT(cpu.out(kBell + 1, 1, 1));
  EXPECT_EQ(cpu.in(kBell, 2).value_or(9), 0u);
  EXPECT_EQ(bell.count(), 0u);
  EXPECT(cpu.out(kBell, 1, 1));  // narrower, with the data
  EXPECT_EQ(bell.count(), 1u);
  Answerer answerer(rig);
  EXPECT_EQ(cpu.in(kBell, 4).value_or(0), Answerer::answer(ACRN_IOREQ_TYPE_PORTIO, kBell));  // beyond its end
  EXPECT_EQ(cpu.read(kBell, 2).value_or(0), Answerer::answer(ACRN_IOREQ_TYPE_MMIO, kBell) & 0xffff);
}

TEST(an_ioeventfd_without_data_takes_any) {
  Rig rig;
  rig.running();
  const EventFd bell;
  acrn_ioeventfd request{};
  request.fd = static_cast<uint32_t>(bell.fd());
  request.addr = 0xd000'0050;
  request.len = 4;
  EXPECT_EQ(rig.ask(ACRN_IOCTL_IOEVENTFD, &request), 0);
  EXPECT(rig.hypervisor.vcpu(0).write(0xd000'0050, 4, 0x1234));
  EXPECT_EQ(bell.count(), 1u);
}

TEST(an_ioeventfd_that_cannot_be_is_refused) {
  Rig rig;
  rig.created();
  const EventFd bell;
  acrn_ioeventfd reserved{};
  reserved.reserved = 1;
  EXPECT_EQ(rig.ask(ACRN_IOCTL_IOEVENTFD, &reserved), -EINVAL);
  EXPECT_EQ(rig.add_bell(bell.fd(), ~0ull, 0, 2), -EINVAL);
  for (const uint32_t length : {0u, 3u, 16u}) EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 0, length), -EINVAL);
  EXPECT_EQ(rig.add_bell(-1), -EBADF);
  const UniqueFd other(::dup(STDERR_FILENO));
  EXPECT_EQ(rig.add_bell(other.fd()), -EINVAL);
}

TEST(the_same_ioeventfd_twice_is_a_conflict_and_another_there_is_none) {
  Rig rig;
  rig.created();
  const EventFd bell, other;
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1), 0);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1), -EEXIST);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell), -EEXIST);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 2), 0);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell + 2, 1), 0);
  EXPECT_EQ(rig.add_bell(other.fd(), kBell, 1), 0);
}

TEST(an_ioeventfd_is_taken_away_by_its_eventfd_alone_the_oldest_first) {
  Rig rig;
  rig.running();
  const EventFd bell;
  const UniqueFd copy(::dup(bell.fd()));
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1), 0);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell + 2, 1), 0);
  EXPECT_EQ(rig.remove_bell(EventFd().fd()), 0);  // none of them
  HsmVcpu& cpu = rig.hypervisor.vcpu(0);
  EXPECT(cpu.out(kBell, 2, 1));
  EXPECT_EQ(rig.remove_bell(copy.fd()), 0);
  EXPECT(cpu.out(kBell + 2, 2, 1));
  EXPECT_EQ(bell.count(), 2u);
  {
    Answerer answerer(rig);
    EXPECT_EQ(cpu.in(kBell, 2).value_or(0), Answerer::answer(ACRN_IOREQ_TYPE_PORTIO, kBell));
  }
  EXPECT_EQ(rig.remove_bell(bell.fd()), 0);
  EXPECT_EQ(rig.remove_bell(bell.fd()), 0);
}

// Irqfds.

TEST(each_signal_of_an_irqfd_is_its_message) {
  Rig rig;
  rig.created();
  const EventFd irq;
  EXPECT_EQ(rig.irqfd(irq.fd(), 0xfee0'1000), 0);
  for (size_t i = 1; i <= 5; i++) {
    irq.signal();
    EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == i; }));
  }
  EXPECT_EQ(rig.hypervisor.messages().back().msi_addr, 0xfee0'1000u);
  EXPECT_EQ(rig.hypervisor.messages().back().msi_data, 0x41u);
  EXPECT_EQ(irq.count(), 5u);  // the counter is not the module's to read
}

TEST(a_signal_before_the_irqfd_is_not_lost) {
  Rig rig;
  rig.created();
  const EventFd irq;
  irq.signal();
  EXPECT_EQ(rig.irqfd(irq.fd(), 0xfee0'1000), 0);
  EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == 1; }));
}

TEST(an_eventfd_is_one_irqfd_until_it_is_taken_away) {
  Rig rig;
  rig.created();
  const EventFd irq, other;
  EXPECT_EQ(rig.irqfd(-1, 1), -EBADF);
  EXPECT_EQ(rig.irqfd(irq.fd(), 0xfee0'1000), 0);
  EXPECT_EQ(rig.irqfd(irq.fd(), 0xfee0'2000), -EBUSY);
  EXPECT_EQ(rig.irqfd(other.fd(), 0xfee0'2000), 0);
  irq.signal();
  EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == 1; }));
  EXPECT_EQ(rig.irqfd(irq.fd(), 0, ACRN_IRQFD_FLAG_DEASSIGN), 0);
  EXPECT_EQ(irq.count(), 0u);  // its signals go with it
  EXPECT_EQ(rig.irqfd(irq.fd(), 0, ACRN_IRQFD_FLAG_DEASSIGN), 0);
  irq.signal();
  other.signal();
  EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == 2; }));
  EXPECT_EQ(rig.hypervisor.messages().back().msi_addr, 0xfee0'2000u);
}

// What ACRN's own kernel has beyond mainline's.

struct alignas(kPage) RingPage {
  HsmRing ring{};
  std::byte elements[kPage - sizeof(HsmRing)] = {};

  explicit RingPage(uint32_t element_size) {
    const auto count = static_cast<uint32_t>(sizeof(elements) / element_size);
    ring = {.magic = HsmRing::kMagic, .elements = count, .element_size = element_size, .size = count * element_size};
  }
};
static_assert(sizeof(HsmRing) == 64 && sizeof(RingPage) == kPage);

TEST(a_ring_is_a_whole_page_of_the_right_shape_and_given_once) {
  Rig rig({}, {.newer_requests = true});
  rig.created();
  RingPage good(8), shape(32), used(8);
  used.ring.tail = 8;
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, &shape), -EINVAL);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, &used), -EINVAL);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, reinterpret_cast<uintptr_t>(&good) + 8), -EINVAL);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, uintptr_t{0}), -EFAULT);
  EXPECT_EQ(good.ring.elements, 504u);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, &good), 0);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, &good), -EINVAL);
}

TEST(an_asynchronous_ioeventfd_makes_no_request_and_asks_for_no_data) {
  Rig rig({}, {.newer_requests = true});
  rig.running();
  const EventFd bell, other;
  constexpr uint32_t kAsync = FakeHsm::kIoeventfdAsyncio;
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1, 2, kAsync), -ENODEV);
  RingPage page(8);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupAsyncio, &page), 0);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1, 2, kAsync), 0);
  HsmVcpu& cpu = rig.hypervisor.vcpu(0);
  EXPECT(cpu.out(kBell, 2, 7));
  EXPECT_EQ(bell.count(), 1u);
  EXPECT_EQ(rig.hypervisor.finished(), 0u);
  EXPECT_EQ(rig.add_bell(other.fd(), kBell, 1, 2, kAsync | ACRN_IOEVENTFD_FLAG_DEASSIGN), -EINVAL);
  EXPECT_EQ(rig.add_bell(bell.fd(), kBell, 1, 2, kAsync | ACRN_IOEVENTFD_FLAG_DEASSIGN), 0);
  Answerer answerer(rig);
  EXPECT(cpu.out(kBell, 2, 1));
  EXPECT_EQ(bell.count(), 0u);
}

TEST(events_of_the_vm_go_through_the_ring_until_it_is_full) {
  Rig rig({}, {.newer_requests = true});
  rig.created();
  RingPage page(FakeHsm::kVmEventSize);
  EXPECT(!rig.module.send_vm_event(1, {}));
  EXPECT_EQ(rig.ask(FakeHsm::kSetupVmEventRing, &page), 0);
  const EventFd told;
  EXPECT_EQ(rig.ask(FakeHsm::kSetupVmEventFd, static_cast<uintptr_t>(-1)), -EBADF);
  EXPECT_EQ(rig.ask(FakeHsm::kSetupVmEventFd, static_cast<uintptr_t>(told.fd())), 0);
  const std::array data{std::byte{0xaa}};
  EXPECT(rig.module.send_vm_event(2, data));
  EXPECT_EQ(told.count(), 1u);
  EXPECT_EQ(page.ring.tail, 32u);
  EXPECT(page.elements[0] == std::byte{2} && page.elements[4] == std::byte{0xaa} && page.elements[5] == std::byte{0});
  unsigned sent = 1;
  while (rig.module.send_vm_event(1, {})) sent++;
  EXPECT_EQ(sent, page.ring.elements - 1);
  page.ring.head = page.ring.tail;
  EXPECT(rig.module.send_vm_event(1, {}));
}

}  // namespace
}  // namespace acrn
