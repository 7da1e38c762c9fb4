// The port to ACRN asks its module for the right things in the right order, answers every request, and passes doorbells
// and interrupts on.
#include <algorithm>
#include <array>
#include <latch>
#include <thread>

#include "dm/event/epoll_loop.h"
#include "tests/contract/acrn_rig.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr uint16_t kBell = 0x3010;

bool signalled(const EventFd& bell) {
  return wait_until([&] { return bell.count() > 0; });
}

// From creation to the end.

TEST(a_vms_calls_come_in_acrns_order) {
  AcrnRig rig;
  rig.running();
  EXPECT(rig.acrn->reset().ok());
  EXPECT(rig.start().ok());
  rig.acrn->stop();
  rig.acrn.reset();
  AcrnRig::Requests requests = rig.faults.control_trace();
  std::erase_if(requests, [](const std::string& name) { return name.starts_with("SETUP_"); });
  EXPECT(requests == AcrnRig::Requests({"CREATE_VM", "SET_MEMSEG", "SET_VCPU_REGS", "CREATE_IOREQ_CLIENT", "START_VM",
                                        "PAUSE_VM", "CLEAR_VM_IOREQ", "RESET_VM", "SET_VCPU_REGS", "START_VM",
                                        "PAUSE_VM", "DESTROY_IOREQ_CLIENT", "DESTROY_VM"}));
  EXPECT(rig.faults.closed());
  EXPECT(rig.hypervisor.state() == ScriptedHypervisor::VmState::kPoweredOff);
}

// Its type is another one in later kernel headers.
std::array<uint8_t, 16> bytes_of(const acrn_vm_creation& creation) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &creation.uuid, bytes.size());
  return bytes;
}

TEST(a_vm_is_asked_for_by_name_or_by_uuid) {
  AcrnRig named({.vcpus = 3});
  named.options.vm_name = "fifteen letters";
  named.options.cpu_affinity = 0b111;
  EXPECT(named.create().ok());
  const acrn_vm_creation by_name = named.hypervisor.creation();
  EXPECT(std::equal(named.options.vm_name.begin(), named.options.vm_name.end(), bytes_of(by_name).begin()));
  EXPECT_EQ(bytes_of(by_name)[15], 0);
  EXPECT_EQ(by_name.cpu_affinity, 0b111u);
  AcrnRig identified;
  identified.options.uuid = std::array<uint8_t, 16>{0xde, 0xc7};
  EXPECT(identified.create().ok());
  EXPECT_EQ(bytes_of(identified.hypervisor.creation())[1], 0xc7);
}

TEST(creation_is_tried_ten_times) {
  AcrnRig patient;
  patient.faults.fail(ACRN_IOCTL_CREATE_VM, EINVAL, 9);
  EXPECT(patient.create().ok());
  AcrnRig hopeless;
  hopeless.faults.fail(ACRN_IOCTL_CREATE_VM, EINVAL, HsmFaults::kAlways);
  const auto result = hopeless.create();
  EXPECT(!result.ok());
  EXPECT_CONTAINS(result.error().message, "CREATE_VM");
  EXPECT_EQ(std::ranges::count(hopeless.faults.trace(), "CREATE_VM"), 10);
  EXPECT(hopeless.hypervisor.calls().empty());
}

TEST(fewer_virtual_cpus_than_wanted_are_refused_and_the_vm_destroyed) {
  AcrnRig rig({.vcpus = 1});
  rig.options.vcpus = 2;
  const auto result = rig.create();
  EXPECT(!result.ok());
  EXPECT_CONTAINS(result.error().message, "--cpus 2");
  EXPECT(rig.hypervisor.state() == ScriptedHypervisor::VmState::kPoweredOff);
}

TEST(ram_is_mapped_where_the_guest_has_it) {
  AcrnRig rig;
  EXPECT(rig.create().ok());
  const MemoryRegion ram = some_ram(1ull << 32);
  EXPECT(rig.acrn->map_ram(ram).ok());
  const acrn_vm_memmap mapped = rig.hypervisor.memory().at(0);
  EXPECT(mapped.type == ACRN_MEMMAP_RAM);
  EXPECT_EQ(mapped.user_vm_pa, 1ull << 32);
  EXPECT_EQ(mapped.vma_base, reinterpret_cast<uintptr_t>(ram.host));
  EXPECT_EQ(mapped.len, ram.size);
  EXPECT_EQ(mapped.attr, ACRN_MEM_ACCESS_RWX | ACRN_MEM_TYPE_WB);
}

TEST(ram_too_large_for_one_call_is_mapped_in_parts) {
  AcrnRig rig;
  EXPECT(rig.create().ok());
  rig.faults.fail(ACRN_IOCTL_SET_MEMSEG, ENOMEM, 2);  // the whole, and its first half
  const MemoryRegion ram = some_ram(1ull << 32, (129 << 20) + 4096);
  EXPECT(rig.acrn->map_ram(ram).ok());
  uint64_t mapped = 0;
  for (const acrn_vm_memmap& part : rig.hypervisor.memory()) {
    EXPECT_EQ(part.user_vm_pa, (1ull << 32) + mapped);
    EXPECT_EQ(part.vma_base, reinterpret_cast<uintptr_t>(ram.host) + mapped);
    mapped += part.len;
  }
  EXPECT_EQ(rig.hypervisor.memory().size(), 3u);
  EXPECT_EQ(mapped, ram.size);
}

TEST(the_first_virtual_cpu_enters_the_kernel_as_told) {
  AcrnRig rig;
  rig.running();
  const acrn_vcpu_regs set = rig.hypervisor.regs().at(0);
  EXPECT_EQ(set.vcpu_id, 0);
  EXPECT_EQ(set.vcpu_regs.rip, 0x10'0000u);
  EXPECT_EQ(set.vcpu_regs.gprs.rsi, 0x7000u);
  EXPECT(set.vcpu_regs.gdt.base == 0x6000 && set.vcpu_regs.gdt.limit == 31);
  EXPECT(set.vcpu_regs.cs_sel == 0x10 && set.vcpu_regs.ds_sel == 0x18 && set.vcpu_regs.ss_sel == 0x18);
  EXPECT((set.vcpu_regs.cr0 & 0x8000'0001u) == 1);  // protected, no paging
  EXPECT_EQ(set.vcpu_regs.ia32_efer, 0u);
}

TEST(a_kernel_can_be_entered_in_long_mode) {
  AcrnRig rig;
  rig.boot.long_mode = true;
  rig.boot.page_tables = 0x9000;
  rig.running();
  const acrn_regs regs = rig.hypervisor.regs().at(0).vcpu_regs;
  EXPECT((regs.cr0 & 0x8000'0001u) == 0x8000'0001u);
  EXPECT_EQ(regs.cr3, 0x9000u);
  EXPECT_EQ(regs.ia32_efer, 0x500u);
}

// Requests.

TEST(each_slot_of_the_page_is_answered) {
  AcrnRig rig({.vcpus = ACRN_IO_REQUEST_MAX});
  rig.running();
  for (unsigned index = 0; index < ACRN_IO_REQUEST_MAX; index++) {
    HsmVcpu& cpu = rig.cpu(index);
    const auto port = static_cast<uint16_t>(0x2000 + index);
    EXPECT_EQ(cpu.in(port, 4).value_or(0), RecordingBoard::port_value(port));
    EXPECT_EQ(cpu.in(port, 1).value_or(0), RecordingBoard::port_value(port) & 0xff);
    EXPECT_EQ(cpu.read(0x8000'0000 + index, 8).value_or(0), RecordingBoard::memory_value(0x8000'0000 + index));
  }
  EXPECT_EQ(rig.module.stray_notifies(), 0u);
}

TEST(writes_get_there_with_as_many_bytes_as_they_have) {
  AcrnRig rig;
  rig.running();
  EXPECT(rig.cpu().out(0x70, 1, 0x1234'560f));
  EXPECT(rig.cpu().write(0x8000'0004, 2, 0x1234'5678));
  EXPECT(rig.cpu().write(0x8000'0008, 8, ~0ull - 1));
  const std::vector<RecordingBoard::Write> expected{
      {'p', 0x70, 1, 0x0f}, {'m', 0x8000'0004, 2, 0x5678}, {'m', 0x8000'0008, 8, ~0ull - 1}};
  EXPECT(rig.board.writes() == expected);
}

TEST(configuration_space_by_ports_is_the_machines) {
  AcrnRig rig;
  rig.running();
  HsmVcpu& cpu = rig.cpu();
  constexpr PciAddress kFunction{1, 9, 2};
  EXPECT(cpu.out(0xcf8, 4, 0x8001'4a10));
  EXPECT_EQ(cpu.in(0xcfc, 4).value_or(0), RecordingBoard::config_value(kFunction, 0x10));
  EXPECT_EQ(cpu.in(0xcfe, 2).value_or(0), RecordingBoard::config_value(kFunction, 0x12) & 0xffff);
  EXPECT(cpu.out(0xcfd, 1, 0xff77));
  const std::vector<RecordingBoard::Write> expected{{'c', RecordingBoard::config_value(kFunction, 0x11), 1, 0x77}};
  EXPECT(rig.board.writes() == expected);
}

TEST(requests_of_all_kinds_at_once_get_their_own_answers) {
  AcrnRig rig({.vcpus = ACRN_IO_REQUEST_MAX});
  rig.running();
  constexpr unsigned kRounds = 40;
  std::atomic<unsigned> right = 0;
  Mutex config;
  std::vector<HsmVcpuThread> cpus;
  for (unsigned index = 0; index < ACRN_IO_REQUEST_MAX; index++) {
    cpus.emplace_back(rig.cpu(index), [&, index] {
      HsmVcpu& cpu = rig.cpu(index);
      for (unsigned i = 0; i < kRounds; i++) {
        const auto port = static_cast<uint16_t>(0x1000 + index * 0x100 + i);
        if (cpu.in(port, 4) == RecordingBoard::port_value(port)) right++;
        const uint64_t address = 0x8000'0000 + port;
        if (cpu.read(address, 4) == (RecordingBoard::memory_value(address) & 0xffff'ffff)) right++;
        MutexLock lock(config);
        const PciAddress function{0, static_cast<uint8_t>(index), 0};
        cpu.out(0xcf8, 4, 0x8000'0000 | index << 11 | (i & 0xfc));
        if (cpu.in(0xcfc, 4) == RecordingBoard::config_value(function, i & 0xfc)) right++;
      }
    });
  }
  for (HsmVcpuThread& cpu : cpus) cpu.join();
  EXPECT_EQ(right.load(), ACRN_IO_REQUEST_MAX * kRounds * 3);
  EXPECT_EQ(rig.module.stray_notifies(), 0u);
}

TEST(a_virtual_cpu_that_polls_gets_its_answer) {
  AcrnRig rig({.polling = true});
  rig.running();
  EXPECT(rig.answers());
  EXPECT_EQ(rig.hypervisor.finished(), 0u);
}

TEST(what_nobody_claims_reads_as_ones) {
  AcrnRig rig;
  rig.running();
  EXPECT_EQ(rig.cpu().in(RecordingBoard::kUnclaimed, 1).value_or(0), 0xffu);
  EXPECT_EQ(rig.cpu().in(RecordingBoard::kUnclaimed, 2).value_or(0), 0xffffu);
  EXPECT_EQ(rig.cpu().in(RecordingBoard::kUnclaimed, 4).value_or(0), 0xffff'ffffu);
}

TEST(accesses_that_no_device_can_have_complete_with_ones) {
  AcrnRig rig;
  rig.running();
  for (const uint64_t size : {0, 3, 8, 1 << 20}) {
    for (const uint32_t direction : {ACRN_IOREQ_DIR_READ, ACRN_IOREQ_DIR_WRITE}) {
      const auto value = rig.cpu().access({ACRN_IOREQ_TYPE_PORTIO, direction, 0x60, size, 0});
      EXPECT(value.has_value());
      if (direction == ACRN_IOREQ_DIR_READ && size == 3) EXPECT_EQ(*value, 0xff'ffffu);
    }
  }
  for (const uint64_t size : {uint64_t{0}, uint64_t{3}, uint64_t{16}, ~uint64_t{0}}) {
    EXPECT(rig.cpu().access({ACRN_IOREQ_TYPE_MMIO, ACRN_IOREQ_DIR_READ, 0x8000'0000, size, 0}).has_value());
    EXPECT(rig.cpu().access({ACRN_IOREQ_TYPE_MMIO, ACRN_IOREQ_DIR_WRITE, 0x8000'0000, size, 0}).has_value());
  }
  EXPECT_EQ(rig.cpu().in(0x1'0060, 1).value_or(0), 0xffu);  // beyond the last port
  EXPECT_EQ(rig.board.reads(), 0u);
  EXPECT(rig.board.writes().empty());
  EXPECT(rig.answers());
}

TEST(a_request_that_the_kernel_handles_is_left_alone) {
  AcrnRig rig({.vcpus = 2});
  rig.running();
  acrn_io_request& slot = rig.module.requests()->req_slot[1];
  slot.type = ACRN_IOREQ_TYPE_PORTIO;
  slot.kernel_handled = 1;
  const std::atomic_ref<uint32_t> state(slot.processed);
  state.store(ACRN_IOREQ_STATE_PROCESSING, std::memory_order_release);
  EXPECT(rig.answers());
  EXPECT_EQ(rig.board.reads(), 1u);
  EXPECT(state.load(std::memory_order_acquire) == ACRN_IOREQ_STATE_PROCESSING);
}

TEST(a_request_of_an_unknown_type_completes_and_is_told_in_one_line) {
  AcrnRig rig({.vcpus = 2});
  rig.running();
  EXPECT(rig.cpu(1).access({.type = 7}).has_value());
  EXPECT(wait_until([&] { return rig.board.failures().size() == 1; }));
  const std::string line = rig.board.failures().at(0);
  EXPECT_CONTAINS(line, "ACRN: vCPU 1");
  EXPECT_CONTAINS(line, "type 7");
  EXPECT(line.find('\n') == std::string::npos);
  rig.acrn->stop();
  EXPECT_EQ(rig.board.failures().size(), 1u);
}

// Doorbells.

TEST(a_doorbell_signals_without_an_exit) {
  AcrnRig rig;
  rig.running();
  const EventFd bell;
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 0, bell.fd()}));
  EXPECT(rig.cpu().out(kBell, 2, 0));
  EXPECT(signalled(bell));
  EXPECT(rig.board.writes().empty());
}

TEST(doorbells_at_one_port_are_told_apart_by_their_data) {
  AcrnRig rig;
  rig.running();
  const EventFd first, second;
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 0, first.fd()}));
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 1, second.fd()}));
  EXPECT(rig.cpu().out(kBell, 2, 1));
  EXPECT(rig.cpu().out(kBell, 2, 1));
  EXPECT_EQ(first.count(), 0u);
  EXPECT_EQ(second.count(), 2u);
  rig.acrn->remove_doorbell({kBell, 2, 1, second.fd()});
  EXPECT(rig.cpu().out(kBell, 2, 0));
  EXPECT_EQ(first.count(), 1u);
}

TEST(doorbells_beside_requests_are_counted_once_each) {
  constexpr unsigned kVcpus = 4, kRounds = 1000;
  AcrnRig rig({.vcpus = kVcpus});
  rig.running();
  const EventFd bell;
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 0, bell.fd()}));
  std::atomic<unsigned> done = 0;
  std::vector<HsmVcpuThread> cpus;
  for (unsigned index = 0; index < kVcpus; index++) {
    cpus.emplace_back(rig.cpu(index), [&, index] {
      for (unsigned i = 0; i < kRounds; i++) done += rig.cpu(index).out(kBell, 2, 0) && rig.answers(index);
    });
  }
  for (HsmVcpuThread& cpu : cpus) cpu.join();
  EXPECT_EQ(done.load(), kVcpus * kRounds);
  EXPECT_EQ(bell.count(), kVcpus * kRounds);
  EXPECT_EQ(rig.board.reads(), kVcpus * kRounds);
  EXPECT(rig.board.writes().empty());
  EXPECT_EQ(rig.module.stray_notifies(), 0u);
}

TEST(a_doorbell_that_is_moved_or_removed_rings_where_it_is) {
  AcrnRig rig;
  rig.running();
  const EventFd bell;
  const Doorbell here{kBell, 2, 0, bell.fd()}, there{0x4010, 2, 0, bell.fd()};
  EXPECT(rig.acrn->add_doorbell(here));
  rig.acrn->remove_doorbell(here);
  EXPECT(rig.acrn->add_doorbell(there));
  EXPECT(rig.cpu().out(kBell, 2, 0));
  EXPECT_EQ(bell.count(), 0u);
  EXPECT_EQ(rig.board.writes().size(), 1u);
  EXPECT(rig.cpu().out(0x4010, 2, 0));
  EXPECT_EQ(bell.count(), 1u);
  rig.acrn->remove_doorbell(there);
  EXPECT(rig.cpu().out(0x4010, 2, 0));
  EXPECT_EQ(bell.count(), 0u);
  EXPECT_EQ(rig.board.writes().size(), 2u);
}

TEST(where_one_doorbell_is_refused_all_of_that_port_come_as_exits) {
  AcrnRig rig;
  rig.running();
  const EventFd bells[3];
  const EventFd elsewhere;
  rig.faults.fail(ACRN_IOCTL_IOEVENTFD, ENOSPC, 1, 2);
  EXPECT(rig.acrn->add_doorbell({0x4010, 2, 0, elsewhere.fd()}));
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 0, bells[0].fd()}));
  EXPECT(!rig.acrn->add_doorbell({kBell, 2, 1, bells[1].fd()}));
  EXPECT(!rig.acrn->add_doorbell({kBell, 2, 2, bells[2].fd()}));
  for (uint32_t data = 0; data < 3; data++) EXPECT(rig.cpu().out(kBell, 2, data));
  EXPECT_EQ(rig.board.writes().size(), 3u);
  EXPECT(rig.cpu().out(0x4010, 2, 0));
  EXPECT_EQ(elsewhere.count(), 1u);
  for (const EventFd& bell : bells) EXPECT_EQ(bell.count(), 0u);
}

TEST(doorbells_go_with_a_reset_and_come_again) {
  AcrnRig rig;
  rig.running();
  const EventFd bell;
  for (unsigned i = 0; i < 3; i++) {
    EXPECT(rig.acrn->add_doorbell({kBell, 2, 0, bell.fd()}));
    EXPECT(rig.acrn->reset().ok());
    EXPECT(rig.start().ok());
    EXPECT(rig.cpu().out(kBell, 2, 0));
    EXPECT_EQ(bell.count(), 0u);
  }
  EXPECT_EQ(rig.board.writes().size(), 3u);
}

TEST(a_doorbell_alone_at_its_port_is_asynchronous_where_that_is_known) {
  AcrnRig rig({}, {.newer_requests = true});
  rig.running();
  const EventFd first, second;
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 0, first.fd()}));
  const unsigned before = rig.hypervisor.finished();
  EXPECT(rig.cpu().out(kBell, 2, 0));
  EXPECT_EQ(first.count(), 1u);
  EXPECT_EQ(rig.hypervisor.finished(), before);
  EXPECT(rig.acrn->add_doorbell({kBell, 2, 1, second.fd()}));  // now data matters
  EXPECT(rig.cpu().out(kBell, 2, 1));
  EXPECT_EQ(first.count(), 0u);
  EXPECT_EQ(second.count(), 1u);
  EXPECT(rig.cpu().out(kBell, 2, 0));
  EXPECT_EQ(first.count(), 1u);
}

// Interrupts.

TEST(pci_lines_are_active_low_and_idle_high_before_each_start) {
  AcrnRig rig;
  std::atomic<unsigned> starts = 0, idle = 0;
  rig.faults.set_hook([&](unsigned long request, uintptr_t) {
    if (request != ACRN_IOCTL_START_VM) return;
    starts++;
    if (rig.hypervisor.line(16) && rig.hypervisor.line(17) && rig.hypervisor.line(18)) idle++;
  });
  rig.running();
  rig.acrn->set_irq(17, true);
  EXPECT(!rig.hypervisor.line(17));
  EXPECT(rig.hypervisor.line(16) && rig.hypervisor.line(18));
  rig.acrn->set_irq(17, false);
  EXPECT(rig.hypervisor.line(17));
  rig.acrn->set_irq(18, true);
  EXPECT(rig.acrn->reset().ok());
  EXPECT(rig.start().ok());
  EXPECT_EQ(starts.load(), 2u);
  EXPECT_EQ(idle.load(), 2u);
  for (const uint8_t line : rig.acrn->traits().pci_lines) EXPECT(line >= 16 && line <= 18);
}

TEST(isa_lines_are_active_high) {
  AcrnRig rig;
  rig.running();
  EXPECT(!rig.hypervisor.line(4));
  rig.acrn->set_irq(4, true);
  EXPECT(rig.hypervisor.line(4));
  rig.acrn->set_irq(4, false);
  EXPECT(!rig.hypervisor.line(4));
}

TEST(a_message_goes_by_irqfd_and_its_repetition_needs_no_call) {
  AcrnRig rig;
  rig.running();
  for (size_t i = 1; i <= 3; i++) {
    rig.acrn->send(0xfee0'1000, 0x41);
    EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == i; }));
  }
  EXPECT(rig.hypervisor.messages().back().msi_addr == 0xfee0'1000 && rig.hypervisor.messages().back().msi_data == 0x41);
  const auto trace = rig.faults.trace();
  EXPECT_EQ(std::ranges::count(trace, "IRQFD"), 1);
  EXPECT_EQ(std::ranges::count(trace, "INJECT_MSI"), 0);
}

TEST(a_message_without_an_irqfd_is_injected) {
  AcrnRig rig;
  rig.faults.fail(ACRN_IOCTL_IRQFD, ENOSPC, HsmFaults::kAlways);
  rig.running();
  for (size_t i = 1; i <= 3; i++) {
    rig.acrn->send(0xfee0'1000, static_cast<uint32_t>(i));
    EXPECT_EQ(rig.hypervisor.messages().size(), i);
    EXPECT(rig.hypervisor.messages().back().msi_data == i);
  }
}

TEST(a_message_to_no_local_apic_does_not_get_to_the_module) {
  AcrnRig rig;
  rig.running();
  for (const uint64_t address : {0x1000ull, 0xfed0'0000ull, 0xfef0'0000ull, 0x1'fee0'0000ull})
    rig.acrn->send(address, 0x41);
  rig.acrn->send(0xfeef'f000, 0x42);
  EXPECT(wait_until([&] { return !rig.hypervisor.messages().empty(); }));
  EXPECT_EQ(rig.hypervisor.messages().size(), 1u);
  EXPECT_EQ(rig.hypervisor.messages().at(0).msi_data, 0x42u);
}

TEST(more_messages_than_irqfds_all_arrive_before_and_after_a_reset) {
  constexpr size_t kMessages = 100;
  AcrnRig rig;
  rig.running();
  for (const size_t before : {size_t{0}, kMessages}) {
    for (uint32_t data = 0; data < kMessages; data++) rig.acrn->send(0xfee0'0000, data);
    EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == before + kMessages; }));
    EXPECT(rig.acrn->reset().ok());
    EXPECT(rig.start().ok());
  }
}

TEST(messages_of_several_threads_all_arrive) {
  AcrnRig rig;
  rig.running();
  std::vector<std::jthread> senders;
  for (uint32_t sender = 0; sender < 4; sender++) {
    senders.emplace_back([&, sender] {
      for (uint32_t i = 0; i < 20; i++) rig.acrn->send(0xfee0'0000, sender * 20 + i);
    });
  }
  senders.clear();
  EXPECT(wait_until([&] { return rig.hypervisor.messages().size() == 80; }));
}

TEST(events_of_the_vm_are_taken_from_their_ring) {
  auto loop = EpollLoop::create("control", {});
  EXPECT(loop.ok());
  AcrnRig rig({}, {.newer_requests = true});
  rig.options.loop = loop.value().get();
  rig.running();
  for (unsigned i = 0; i < 300; i++) {  // more than it holds
    EXPECT(wait_until([&] { return rig.module.send_vm_event(9, {}); }));
  }
  std::latch gone(1);
  loop.value()->post([&] {  // where its notifier lives
    rig.acrn.reset();
    gone.count_down();
  });
  gone.wait();
}

}  // namespace
}  // namespace acrn
