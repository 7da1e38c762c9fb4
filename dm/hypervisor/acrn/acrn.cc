#include "dm/hypervisor/acrn/acrn.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "acrn/base/address.h"
#include "acrn/base/log.h"
#include "dm/hypervisor/acrn/hsm_call.h"
#include "dm/mem/guest_ram.h"

namespace acrn {
namespace {

// What SET_IRQLINE takes by value: the input of the controllers in its low half, what to do in its high one.
enum class Level : uint64_t { kHigh = 0, kLow = 1 };

uint64_t irqline(unsigned gsi, Level level) { return gsi | static_cast<uint64_t>(level) << 32; }

void warn_of(const char* call) { log(LogLevel::kWarning, hsm_error(call).message); }

// Of what a guest can bring about again and again.
void warn_once(std::atomic<bool>& warned, const char* call) {
  if (!warned.exchange(true)) warn_of(call);
}

constexpr unsigned kIsaInputs = 16;
constexpr uint16_t kNoVm = 0xffff;

}  // namespace

Acrn::Acrn(const AcrnOptions& options, std::unique_ptr<HsmDevice> hsm) : options_(options), hsm_(std::move(hsm)) {}

Result<std::unique_ptr<Acrn>> Acrn::create(const AcrnOptions& options, std::unique_ptr<HsmDevice> hsm) {
  std::unique_ptr<Acrn> acrn(new Acrn(options, std::move(hsm)));
  auto requests = IoRequests::create(*acrn->hsm_);
  if (!requests) return requests.error();
  acrn->requests_ = std::move(requests).value();
  if (auto created = acrn->create_vm(); !created) return created.error();
  acrn->set_up_asyncio();
  acrn->set_up_events();
  return acrn;
}

Acrn::~Acrn() {
  stop();
  if (vmid_ && hsm_call(*hsm_, ACRN_IOCTL_DESTROY_VM) < 0) warn_of("DESTROY_VM");
}

Result<void> Acrn::create_vm() {
  acrn_vm_creation creation{};
  creation.vcpu_num = static_cast<uint16_t>(options_.vcpus);
  if (options_.uuid) {
    std::memcpy(&creation.uuid, options_.uuid->data(), sizeof(creation.uuid));
  } else {
    std::memcpy(&creation.uuid, options_.vm_name.data(), std::min(options_.vm_name.size(), kMaxName));
  }
  creation.ioreq_buf = requests_->page();
  creation.cpu_affinity = options_.cpu_affinity;
  // The VM's last run may still be about to end.
  for (unsigned tries = 1;; tries++) {
    acrn_vm_creation answer = creation;
    errno = EINVAL;
    if (hsm_call(*hsm_, ACRN_IOCTL_CREATE_VM, &answer) >= 0 && answer.vmid != kNoVm) {
      vmid_ = answer.vmid;
      creation = answer;
      break;
    }
    if (tries == kTries) {
      return Error{ErrorKind::kUnavailable,
                   concat(hsm_error("CREATE_VM").message, ", ", kTries, " times; is there a VM with this ",
                          options_.uuid ? "UUID (-U)" : "name", " in ACRN's configuration",
                          options_.cpu_affinity != 0 ? " that may use these CPUs (--cpu_affinity)" : "",
                          ", and does it not run already?")};
    }
    if (tries == 1) log(LogLevel::kNotice, concat(hsm_error("CREATE_VM").message, "; trying again"));
    std::this_thread::sleep_for(options_.pause_between_tries);
  }
  // 0: a hypervisor that takes our number.
  if (creation.vcpu_num != 0 && creation.vcpu_num < options_.vcpus) {
    return Error{ErrorKind::kUsage, concat("--cpus ", options_.vcpus, ": ACRN gives this VM ", creation.vcpu_num,
                                           "; give that, or the VM more CPUs in ACRN's configuration")};
  }
  if (creation.vcpu_num > options_.vcpus) {
    log(LogLevel::kNotice,
        concat("ACRN gives this VM ", creation.vcpu_num, " vCPUs; it uses ", options_.vcpus, " (--cpus)"));
  }
  return {};
}

// ACRN's own kernels have more than Linux's. Where a call is not known, nothing is lost.
void Acrn::set_up_asyncio() {
  if (asyncio_ && hsm_call(*hsm_, kSetupAsyncio, asyncio_.address()) >= 0) ioeventfds_.use_asyncio();
}

void Acrn::set_up_events() {
  if (options_.loop == nullptr || !events_ || hsm_call(*hsm_, kSetupVmEventRing, events_.address()) < 0) return;
  auto event = options_.loop->make_notifier([this] { tell_events(); });
  if (!event) return;
  event_ = std::move(event).value();
  hsm_call(*hsm_, kSetupVmEventFd, static_cast<uintptr_t>(event_->fd()));
}

void Acrn::tell_events() {
  SharedRingHeader& ring = *events_.header();
  const uint32_t size = events_.elements() * kVmEventSize;
  // pairs with the hypervisor's release of `tail`: the events are there
  const uint32_t tail = __atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE);
  if (tail >= size || tail % kVmEventSize != 0) return;
  uint32_t head = ring.head;  // ours
  for (; head != tail; head = (head + kVmEventSize) % size) {
    uint32_t type;
    std::memcpy(&type, events_.data() + head, sizeof(type));
    switch (type) {
      case kRtcChanged: log(LogLevel::kDebug, "ACRN: the guest has set its clock"); break;
      case kPoweredOff: log(LogLevel::kInfo, "ACRN: the guest has powered off"); break;
      case kTripleFault:
        log(LogLevel::kWarning, "ACRN: a processor of the guest has shut down (a triple fault)");
        break;
      default: log(LogLevel::kDebug, concat("ACRN: event ", type)); break;
    }
  }
  __atomic_store_n(&ring.head, head, __ATOMIC_RELEASE);  // pairs with the hypervisor's look for room
}

// ACRN's own device model puts PCI functions above the ISA's inputs and enters kernels at 32 bits; its hypervisor
// starts a VM only after creation or reset.
HypervisorTraits Acrn::traits() const {
  return {.vcpus = options_.vcpus,
          .pci_lines = {16, 17, 18},
          .has_timer = false,
          .enters_long_mode = false,
          .resumes = false,
          .pins_ram = true};
}

Result<void> Acrn::map_ram(const MemoryRegion& region) {
  ram_.push_back(region);
  if (set_memory(raw(region.base), address_of(region.host), region.size)) return {};
  return hsm_error("SET_MEMSEG");
}

// Linux's module lists the pages of a range in one allocation, which for many small pages is more than it gets: then it
// is asked for the halves. False, with errno.
bool Acrn::set_memory(uint64_t guest, uintptr_t host, uint64_t size) {
  constexpr uint64_t kSmallest = uint64_t{32} << 20;
  acrn_vm_memmap request{};
  request.type = ACRN_MEMMAP_RAM;
  request.attr = ACRN_MEM_ACCESS_RWX | ACRN_MEM_TYPE_WB;
  request.user_vm_pa = guest;
  request.vma_base = host;
  request.len = size;
  if (hsm_call(*hsm_, ACRN_IOCTL_SET_MEMSEG, &request) >= 0) return true;
  if (errno != ENOMEM || size <= kSmallest) return false;
  const uint64_t half = size / 2 / kHugePage * kHugePage;
  return set_memory(guest, host, half) && set_memory(guest + half, host + half, size - half);
}

Result<void> Acrn::start(const BootState& boot, ExitHandler& exits) {
  release_lines();
  if (auto set = set_registers(boot); !set) return set;
  if (!serving_) {
    if (auto created = requests_->create_client(); !created) return created;
  }
  if (hsm_call(*hsm_, ACRN_IOCTL_START_VM) < 0) return hsm_error("START_VM");
  paused_ = false;
  if (serving_) {
    requests_->resume();
  } else {
    if (auto started = requests_->start(*vmid_, exits); !started) return started;
    serving_ = true;
  }
  return {};
}

// At power-on all inputs are low, which for PCI's would be asserted.
void Acrn::release_lines() {
  for (const unsigned line : traits().pci_lines) set_irq(line, false);
}

// Segments but CS get flat ones from the hypervisor.
Result<void> Acrn::set_registers(const BootState& boot) {
  constexpr uint64_t kCr0Pe = 1, kCr0Et = 1 << 4, kCr0Ne = 1 << 5, kCr0Pg = uint64_t{1} << 31, kCr4Pae = 1 << 5;
  constexpr uint64_t kEferLme = 1 << 8, kEferLma = 1 << 10;
  constexpr uint32_t kCode32 = 0xc09b, kCode64 = 0xa09b;  // access rights as in a VMCS
  acrn_vcpu_regs request{};
  acrn_regs& regs = request.vcpu_regs;
  regs.gprs.rax = boot.rax;
  regs.gprs.rbx = boot.rbx;
  regs.gprs.rsi = boot.rsi;
  regs.gprs.rsp = boot.stack;
  regs.rip = boot.instruction;
  regs.rflags = 2;  // the bit that is always set
  regs.gdt.base = boot.descriptors;
  regs.gdt.limit = boot.descriptors_limit;
  regs.cr0 = kCr0Pe | kCr0Et | kCr0Ne;
  if (boot.long_mode) {
    regs.cr0 |= kCr0Pg;
    regs.cr3 = boot.page_tables;
    regs.cr4 = kCr4Pae;
    regs.ia32_efer = kEferLme | kEferLma;
  }
  regs.cs_ar = boot.long_mode ? kCode64 : kCode32;
  regs.cs_limit = 0xffff'ffff;
  regs.cs_sel = boot.code_selector;
  regs.ss_sel = regs.ds_sel = regs.es_sel = boot.data_selector;
  if (hsm_call(*hsm_, ACRN_IOCTL_SET_VCPU_REGS, &request) < 0) return hsm_error("SET_VCPU_REGS");
  return {};
}

// False, with errno. A VM that is not paused is neither reset nor destroyed.
bool Acrn::pause_vm() {
  if (vmid_ && !paused_) paused_ = hsm_call(*hsm_, ACRN_IOCTL_PAUSE_VM) >= 0;
  return paused_ || !vmid_;
}

void Acrn::pause() {
  if (!pause_vm()) warn_of("PAUSE_VM");
  requests_->pause();
}

Result<void> Acrn::reset() {
  if (!pause_vm()) return hsm_error("PAUSE_VM");
  requests_->pause();
  ioeventfds_.remove_all();
  msis_.forget_all();
  if (hsm_call(*hsm_, ACRN_IOCTL_CLEAR_VM_IOREQ) < 0) return hsm_error("CLEAR_VM_IOREQ");
  if (hsm_call(*hsm_, ACRN_IOCTL_RESET_VM) < 0) return hsm_error("RESET_VM");
  paused_ = false;  // as if it were new
  return {};
}

void Acrn::stop() {
  if (!requests_) return;
  pause();
  requests_->stop();
}

void Acrn::send(uint64_t address, uint32_t data) {
  // Anything else is no message to a local APIC (Intel SDM 3 11.11.1), and Linux's module would log each refusal.
  constexpr uint64_t kMessageAddresses = 0xfee;  // in MiB
  if (address >> 20 == kMessageAddresses) msis_.send({address, data});
}

// The timer's interrupt comes in where ACRN takes it to input 0 of the PIC, and to 2 of the I/O APIC.
void Acrn::set_irq(unsigned gsi, bool asserted) {
  const bool active_low = gsi >= kIsaInputs;
  const Level level = asserted == active_low ? Level::kLow : Level::kHigh;
  if (hsm_call(*hsm_, ACRN_IOCTL_SET_IRQLINE, irqline(gsi == 0 ? 2 : gsi, level)) < 0)
    warn_once(line_warned_, "SET_IRQLINE");
}

bool Acrn::Msis::connect(unsigned, const MsiMessage& message, int event_fd) {
  acrn_irqfd request{};
  request.fd = event_fd;
  request.msi = {message.address, message.data};
  return hsm_call(hsm_, ACRN_IOCTL_IRQFD, &request) >= 0;
}

void Acrn::Msis::disconnect(int event_fd) {
  acrn_irqfd request{};
  request.fd = event_fd;
  request.flags = ACRN_IRQFD_FLAG_DEASSIGN;
  hsm_call(hsm_, ACRN_IOCTL_IRQFD, &request);
}

void Acrn::Msis::send_directly(const MsiMessage& message) {
  acrn_msi_entry request{message.address, message.data};
  if (hsm_call(hsm_, ACRN_IOCTL_INJECT_MSI, &request) < 0) warn_once(warned_, "INJECT_MSI");
}

}  // namespace acrn
