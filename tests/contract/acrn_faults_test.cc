// The port to ACRN when its module fails, waits, is interrupted or keeps silent, and when the VM is reset or ends in
// the middle of something.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <latch>
#include <thread>

#include "dm/hypervisor/vcpu_signal.h"
#include "tests/contract/acrn_rig.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using VmState = ScriptedHypervisor::VmState;

struct Request {
  unsigned long number;
  bool fatal;  // there is no VM without it
};
constexpr Request kRequests[] = {
    {ACRN_IOCTL_CREATE_VM, true},           {ACRN_IOCTL_SET_MEMSEG, true}, {ACRN_IOCTL_SET_VCPU_REGS, true},
    {ACRN_IOCTL_CREATE_IOREQ_CLIENT, true}, {ACRN_IOCTL_START_VM, true},   {FakeHsm::kSetupAsyncio, false},
    {ACRN_IOCTL_SET_IRQLINE, false},        {ACRN_IOCTL_IOEVENTFD, false}, {ACRN_IOCTL_IRQFD, false},
    {ACRN_IOCTL_INJECT_MSI, false},
};

// The port's thread.
pid_t requests_thread() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream comm(task.path() / "comm");
    std::string name;
    if (std::getline(comm, name) && name == "acrn requests") return std::stoi(task.path().filename());
  }
  return -1;
}

// A guest that reads a port whose device answers only when it is let.
struct SlowRead {
  std::latch asked{1}, may_answer{1};

  void prepare(RecordingBoard& board) {
    board.on_port_read = [this](uint16_t port) {
      if (port != kPort) return;
      asked.count_down();
      may_answer.wait();
    };
  }
  static constexpr uint16_t kPort = 0x60;
};

// Requests that fail.

void expect_clean_failure(const Request& request, int error) {
  const size_t before = open_fds();
  {
    AcrnRig rig({}, {.newer_requests = true});
    rig.faults.fail(request.number, error, HsmFaults::kAlways);
    const auto result = rig.run();
    EXPECT_EQ(result.ok(), !request.fatal);
    if (request.fatal) {
      EXPECT_CONTAINS(result.error().message, hsm_request_name(request.number));
      EXPECT(result.error().message.find('\n') == std::string::npos);
    } else {
      const EventFd bell;
      rig.acrn->add_doorbell({0x3010, 2, 0, bell.fd()});
      rig.acrn->set_irq(16, true);
      rig.acrn->send(0xfee0'0000, 0x41);
      EXPECT(rig.answers());
    }
    rig.acrn.reset();
    EXPECT(rig.faults.closed());
    if (request.number != ACRN_IOCTL_CREATE_VM) EXPECT(rig.hypervisor.state() == VmState::kPoweredOff);
  }
  EXPECT_EQ(open_fds(), before);
}

TEST(a_request_that_fails_is_one_line_with_its_name_and_nothing_stays) {
  for (const int error : {EBUSY, ENODEV, ENOMEM, EINVAL}) {
    for (const Request& request : kRequests) {
      try {
        expect_clean_failure(request, error);
      } catch (const Failure& failure) {
        throw Failure{failure.where, hsm_request_name(request.number) + ": " + failure.what};
      }
    }
  }
}

TEST(a_reset_that_fails_is_one_line_with_the_requests_name) {
  for (const unsigned long request : {ACRN_IOCTL_CLEAR_VM_IOREQ, ACRN_IOCTL_RESET_VM}) {
    AcrnRig rig;
    rig.running();
    rig.faults.fail(request, EBUSY, HsmFaults::kAlways);
    const auto result = rig.acrn->reset();
    EXPECT(!result.ok());
    EXPECT_CONTAINS(result.error().message, hsm_request_name(request));
    rig.acrn.reset();
    EXPECT(rig.hypervisor.state() == VmState::kPoweredOff);
  }
}

TEST(a_vm_that_does_not_start_again_after_a_reset_is_destroyed) {
  constexpr unsigned long kNoSecondStart = 0;
  for (const auto request :
       std::initializer_list<unsigned long>{kNoSecondStart, ACRN_IOCTL_SET_VCPU_REGS, ACRN_IOCTL_START_VM}) {
    AcrnRig rig;
    rig.running();
    EXPECT(rig.acrn->reset().ok());
    if (request != kNoSecondStart) {
      rig.faults.fail(request, EBUSY, HsmFaults::kAlways);
      const auto result = rig.start();
      EXPECT(!result.ok());
      EXPECT_CONTAINS(result.error().message, hsm_request_name(request));
    }
    rig.acrn->stop();
    rig.acrn.reset();
    EXPECT(rig.hypervisor.state() == VmState::kPoweredOff);
  }
}

TEST(a_pause_that_fails_once_is_made_again) {
  AcrnRig ending;
  ending.running();
  ending.faults.fail(ACRN_IOCTL_PAUSE_VM, EBUSY);
  ending.acrn->stop();
  ending.acrn.reset();
  EXPECT(ending.hypervisor.state() == VmState::kPoweredOff);

  AcrnRig resetting;
  resetting.running();
  resetting.faults.fail(ACRN_IOCTL_PAUSE_VM, EBUSY);
  const auto result = resetting.acrn->reset();
  EXPECT(!result.ok());
  EXPECT_CONTAINS(result.error().message, "PAUSE_VM");
  resetting.acrn.reset();
  EXPECT(resetting.hypervisor.state() == VmState::kPoweredOff);
}

TEST(every_request_may_be_interrupted_once) {
  AcrnRig rig;
  for (const Request& request : kRequests) rig.faults.fail(request.number, EINTR);
  rig.faults.fail(ACRN_IOCTL_ATTACH_IOREQ_CLIENT, EINTR);
  rig.faults.fail(ACRN_IOCTL_NOTIFY_REQUEST_FINISH, EINTR);
  rig.faults.fail(ACRN_IOCTL_PAUSE_VM, EINTR);
  rig.faults.fail(ACRN_IOCTL_CLEAR_VM_IOREQ, EINTR);
  rig.faults.fail(ACRN_IOCTL_RESET_VM, EINTR);
  rig.faults.fail(ACRN_IOCTL_DESTROY_IOREQ_CLIENT, EINTR);
  rig.faults.fail(ACRN_IOCTL_DESTROY_VM, EINTR);
  rig.running();
  const EventFd bell;
  EXPECT(rig.acrn->add_doorbell({0x3010, 2, 0, bell.fd()}));
  rig.acrn->send(0xfee0'0000, 0x41);
  EXPECT(rig.answers());
  EXPECT(rig.acrn->reset().ok());
  EXPECT(rig.start().ok());
  EXPECT(rig.answers());
  rig.acrn.reset();
  EXPECT(rig.hypervisor.state() == VmState::kPoweredOff);
  EXPECT(rig.board.failures().empty());
}

TEST(a_request_that_is_interrupted_for_ever_fails) {
  AcrnRig rig;
  rig.faults.fail(ACRN_IOCTL_START_VM, EINTR, HsmFaults::kAlways);
  const auto result = rig.run();
  EXPECT(!result.ok());
  EXPECT_CONTAINS(result.error().message, "START_VM");
}

TEST(a_client_that_cannot_be_attached_is_told_in_one_line) {
  AcrnRig rig;
  rig.faults.fail(ACRN_IOCTL_ATTACH_IOREQ_CLIENT, ENODEV, HsmFaults::kAlways, 2);
  rig.running();
  rig.answers();
  rig.answers();
  EXPECT(wait_until([&] { return rig.board.failures().size() == 1; }));
  EXPECT_CONTAINS(rig.board.failures().at(0), "ATTACH_IOREQ_CLIENT");
  rig.acrn->stop();
  EXPECT_EQ(rig.board.failures().size(), 1u);
}

TEST(an_answer_that_is_not_taken_is_told_in_one_line) {
  AcrnRig rig;
  rig.faults.fail(ACRN_IOCTL_NOTIFY_REQUEST_FINISH, EIO, HsmFaults::kAlways);
  rig.running();
  HsmVcpuThread cpu(rig.cpu(), [&] { rig.answers(); });
  EXPECT(wait_until([&] { return rig.board.failures().size() == 1; }));
  EXPECT_CONTAINS(rig.board.failures().at(0), "NOTIFY_REQUEST_FINISH");
  rig.acrn->stop();  // and the virtual CPU with it
  cpu.join();
}

TEST(an_end_whose_requests_fail_is_an_end) {
  for (const int error : {EINVAL, EINTR}) {
    const size_t before = open_fds();
    {
      AcrnRig rig;
      for (const unsigned long request :
           {ACRN_IOCTL_PAUSE_VM, ACRN_IOCTL_DESTROY_IOREQ_CLIENT, ACRN_IOCTL_DESTROY_VM}) {
        rig.faults.fail(request, error, HsmFaults::kAlways);
      }
      rig.running();
      rig.acrn.reset();
      EXPECT(rig.faults.closed());
    }
    EXPECT_EQ(open_fds(), before);
  }
}

// Resets.

TEST(a_reset_waits_for_the_answer_that_is_being_given_and_the_request_is_gone) {
  SlowRead slow;
  AcrnRig rig;
  slow.prepare(rig.board);
  rig.running();
  std::atomic<bool> answered = true, over = false;
  HsmVcpuThread cpu(rig.cpu(), [&] { answered = rig.cpu().in(SlowRead::kPort, 1).has_value(); });
  slow.asked.wait();
  std::jthread resetter([&] {
    const bool done = rig.acrn->reset().ok();
    over = done;
  });
  cpu.join();  // PAUSE_VM has ended it
  EXPECT(!answered);
  EXPECT(!over);
  slow.may_answer.count_down();
  resetter.join();
  EXPECT(over);
  EXPECT(rig.start().ok());
  EXPECT(rig.answers());
}

TEST(fifty_resets_under_requests_of_every_virtual_cpu_lose_nothing) {
  constexpr unsigned kVcpus = 4;
  AcrnRig rig({.vcpus = kVcpus});
  rig.running();
  std::atomic<bool> enough = false;
  std::atomic<unsigned> wrong = 0, right = 0;
  std::vector<std::jthread> cpus;
  for (unsigned index = 0; index < kVcpus; index++) {
    cpus.emplace_back([&, index] {
      while (!enough) {
        const auto value = rig.cpu(index).in(static_cast<uint16_t>(0x1000 + index), 4);
        if (!value) std::this_thread::yield();
        if (value) (*value == RecordingBoard::port_value(static_cast<uint16_t>(0x1000 + index)) ? right : wrong)++;
      }
    });
  }
  for (unsigned i = 0; i < 50; i++) {
    const unsigned before = right;
    const bool progress = wait_until([&] { return right > before; });
    const bool reset = progress && rig.acrn->reset().ok() && rig.start().ok();
    if (reset) continue;
    enough = true;
    for (unsigned index = 0; index < kVcpus; index++) rig.cpu(index).end();
    EXPECT(progress);
    EXPECT(reset);
  }
  enough = true;
  cpus.clear();
  EXPECT_EQ(wrong.load(), 0u);
  for (unsigned index = 0; index < kVcpus; index++) EXPECT(rig.answers(index));
}

// Ends.

TEST(a_stop_ends_the_wait_for_requests) {
  AcrnRig rig;
  rig.running();
  rig.acrn->stop();  // no request was ever made
  EXPECT_EQ(requests_thread(), -1);
  rig.acrn->stop();
  EXPECT(rig.hypervisor.state() == VmState::kPaused);
}

TEST(a_stop_waits_for_the_answer_that_is_being_given) {
  SlowRead slow;
  AcrnRig rig;
  slow.prepare(rig.board);
  rig.running();
  HsmVcpuThread cpu(rig.cpu(), [&] { rig.cpu().in(SlowRead::kPort, 1); });
  slow.asked.wait();
  std::atomic<bool> stopped = false;
  std::jthread stopper([&] {
    rig.acrn->stop();
    stopped = true;
  });
  cpu.join();
  EXPECT(!stopped);
  slow.may_answer.count_down();
}

TEST(a_module_that_no_signal_wakes_is_left_by_the_end_of_its_client) {
  class Deaf final : public HsmDevice {
   public:
    explicit Deaf(FakeHsm& module) : module_(module) {}
    int call(unsigned long request, uintptr_t argument) override {
      int result;
      do {
        result = module_.call(request, argument);
      } while (request == ACRN_IOCTL_ATTACH_IOREQ_CLIENT && result < 0 && errno == EINTR);
      return result;
    }

   private:
    FakeHsm& module_;
  };
  AcrnRig rig({}, {.interrupt_is_error = true});
  auto made = Acrn::create(rig.options, std::make_unique<Deaf>(rig.module));
  EXPECT(made.ok());
  rig.acrn = std::move(made).value();
  EXPECT(rig.start().ok());
  EXPECT(rig.answers());
  rig.acrn->stop();
  EXPECT(rig.hypervisor.state() == VmState::kPaused);
}

TEST(a_signal_in_the_wait_for_requests_changes_nothing) {
  for (const bool error : {false, true}) {
    AcrnRig rig({}, {.interrupt_is_error = error});
    rig.running();
    EXPECT(rig.answers());  // the thread has its name by now
    for (unsigned i = 0; i < 20; i++) {
      EXPECT_EQ(::syscall(SYS_tgkill, ::getpid(), requests_thread(), vcpu_signal()), 0);
      EXPECT(rig.answers());
    }
    EXPECT(rig.board.failures().empty());
  }
}

TEST(a_module_that_never_waits_is_served_and_left) {
  class Hasty final : public HsmDevice {
   public:
    explicit Hasty(FakeHsm& module) : module_(module) {}
    int call(unsigned long request, uintptr_t argument) override {
      return request == ACRN_IOCTL_ATTACH_IOREQ_CLIENT ? 0 : module_.call(request, argument);
    }

   private:
    FakeHsm& module_;
  };
  AcrnRig rig;
  auto made = Acrn::create(rig.options, std::make_unique<Hasty>(rig.module));
  EXPECT(made.ok());
  rig.acrn = std::move(made).value();
  EXPECT(rig.start().ok());
  for (unsigned i = 0; i < 100; i++) EXPECT(rig.answers());
}

TEST(destruction_without_a_stop_destroys_the_vm) {
  const size_t before = open_fds();
  {
    AcrnRig rig;
    rig.running();
    EXPECT(rig.answers());
    rig.acrn.reset();
    const auto trace = rig.faults.control_trace();
    EXPECT_EQ(trace.back(), std::string("DESTROY_VM"));
    EXPECT_EQ(std::ranges::count(trace, "PAUSE_VM"), 1);
    EXPECT(rig.hypervisor.state() == VmState::kPoweredOff);
  }
  EXPECT_EQ(open_fds(), before);
}

TEST(a_vm_that_was_never_started_is_destroyed) {
  AcrnRig rig;
  EXPECT(rig.create().ok());
  rig.acrn.reset();
  EXPECT(rig.hypervisor.state() == VmState::kPoweredOff);
}

}  // namespace
}  // namespace acrn
