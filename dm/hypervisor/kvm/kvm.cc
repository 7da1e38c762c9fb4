#include "dm/hypervisor/kvm/kvm.h"

#include <fcntl.h>
#include <unistd.h>

#include "acrn/base/address.h"
#include "acrn/base/check.h"
#include "dm/base/host_cpus.h"
#include "dm/hypervisor/kvm/cpuid.h"
#include "dm/hypervisor/kvm/kvm_ioctl.h"

namespace acrn {
namespace {

constexpr const char* kDevice = "/dev/kvm";
constexpr uint64_t kIdentityMap = 0xfffb'c000;  // a page and three pages that Intel's processors need, out of RAM's way
constexpr unsigned long kTaskState = 0xfffb'd000;

Error unusable(const std::string& why, const char* hint) {
  return {ErrorKind::kUnavailable, concat("no usable hypervisor: ", kDevice, ": ", why, "; ", hint)};
}

kvm_ioeventfd ioeventfd(const Doorbell& doorbell, uint32_t flags) {
  kvm_ioeventfd request{};
  request.datamatch = doorbell.data;
  request.addr = doorbell.port;
  request.len = doorbell.size;
  request.fd = doorbell.event_fd;
  request.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH | flags;
  return request;
}

}  // namespace

Result<std::unique_ptr<Kvm>> Kvm::create(const KvmOptions& options) {
  std::unique_ptr<Kvm> kvm(new Kvm(options));
  if (auto opened = kvm->open(); !opened) return opened.error();
  if (auto built = kvm->build_vm(); !built) return built.error();
  return kvm;
}

Kvm::~Kvm() { stop(); }

Result<void> Kvm::open() {
  system_ = UniqueFd(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (!system_) {
    return unusable(errno_text(errno), errno == EACCES || errno == EPERM
                                           ? "give this user access to it (group kvm)"
                                           : "load kvm_intel or kvm_amd, and turn virtualization on in the firmware");
  }
  if (const int version = kvm_ioctl(system_.fd(), KVM_GET_API_VERSION, 0L); version != KVM_API_VERSION) {
    return unusable(concat("API version ", version), "give a device that is KVM");
  }
  for (const long capability : {KVM_CAP_IRQCHIP, KVM_CAP_USER_MEMORY, KVM_CAP_PIT2, KVM_CAP_EXT_CPUID,
                                KVM_CAP_SIGNAL_MSI, KVM_CAP_IRQ_ROUTING, KVM_CAP_IMMEDIATE_EXIT}) {
    if (kvm_ioctl(system_.fd(), KVM_CHECK_EXTENSION, capability) <= 0) {
      return unusable(concat("capability ", capability, " is missing"), "use Linux 4.13 or newer");
    }
  }
  const int most = kvm_ioctl(system_.fd(), KVM_CHECK_EXTENSION, static_cast<long>(KVM_CAP_MAX_VCPUS));
  if (most > 0 && options_.vcpus > static_cast<unsigned>(most)) {
    return Error{ErrorKind::kUsage, concat("--cpus ", options_.vcpus, ": KVM has at most ", most, " here")};
  }
  auto cpuid = supported_cpuid(system_.fd());
  if (!cpuid) return cpuid.error();
  cpuid_ = std::move(cpuid).value();
  // One that cannot be pinned would be found out too late.
  return check_host_cpus(options_.cpu_affinity, "--cpu_affinity");
}

Result<void> Kvm::build_vm() {
  UniqueFd vm(kvm_ioctl(system_.fd(), KVM_CREATE_VM, 0L));
  if (!vm) return unusable(concat("KVM_CREATE_VM: ", errno_text(errno)), "see the kernel's log");
  if (!vm_) {
    vm_ = std::move(vm);
  } else if (::dup3(vm.fd(), vm_.fd(), O_CLOEXEC) < 0) {
    return kvm_error("dup3");
  }
  if (kvm_ioctl(vm_.fd(), KVM_SET_IDENTITY_MAP_ADDR, &kIdentityMap) != 0) return kvm_error("KVM_SET_IDENTITY_MAP_ADDR");
  if (kvm_ioctl(vm_.fd(), KVM_SET_TSS_ADDR, kTaskState) != 0) return kvm_error("KVM_SET_TSS_ADDR");
  if (kvm_ioctl(vm_.fd(), KVM_CREATE_IRQCHIP, 0L) != 0) return kvm_error("KVM_CREATE_IRQCHIP");
  kvm_pit_config timer{};
  timer.flags = KVM_PIT_SPEAKER_DUMMY;
  if (kvm_ioctl(vm_.fd(), KVM_CREATE_PIT2, &timer) != 0) return kvm_error("KVM_CREATE_PIT2");
  if (auto set = routes_.set_up(vm_.fd()); !set) return set.error();
  if (auto set = set_level_lines(); !set) return set.error();
  for (unsigned slot = 0; slot < ram_.size(); slot++) {
    if (auto added = add_slot(slot, ram_[slot]); !added) return added.error();
  }
  return make_vcpus();
}

// As firmware sets the PIC's edge/level register: PCI's lines are level-triggered.
Result<void> Kvm::set_level_lines() {
  constexpr unsigned kInputs = 8;
  for (const unsigned chip_id : {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE}) {
    kvm_irqchip chip{};
    chip.chip_id = chip_id;
    if (kvm_ioctl(vm_.fd(), KVM_GET_IRQCHIP, &chip) != 0) return kvm_error("KVM_GET_IRQCHIP");
    for (const unsigned line : traits().pci_lines) {
      if (line / kInputs == chip_id)
        chip.chip.pic.elcr = static_cast<uint8_t>(chip.chip.pic.elcr | 1u << line % kInputs);
    }
    if (kvm_ioctl(vm_.fd(), KVM_SET_IRQCHIP, &chip) != 0) return kvm_error("KVM_SET_IRQCHIP");
  }
  return {};
}

Result<void> Kvm::make_vcpus() {
  for (unsigned index = 0; index < options_.vcpus; index++) {
    auto vcpu = Vcpu::create(system_.fd(), vm_.fd(), cpuid_, index, options_.vcpus);
    if (!vcpu) return vcpu.error();
    vcpus_.push_back(std::move(vcpu).value());
  }
  return {};
}

Result<void> Kvm::add_slot(unsigned slot, const MemoryRegion& region) {
  kvm_userspace_memory_region request{};
  request.slot = slot;
  request.guest_phys_addr = raw(region.base);
  request.memory_size = region.size;
  request.userspace_addr = address_of(region.host);
  if (kvm_ioctl(vm_.fd(), KVM_SET_USER_MEMORY_REGION, &request) != 0) return kvm_error("KVM_SET_USER_MEMORY_REGION");
  return {};
}

Result<void> Kvm::map_ram(const MemoryRegion& region) {
  ram_.push_back(region);
  return add_slot(static_cast<unsigned>(ram_.size() - 1), region);
}

Result<void> Kvm::start(const BootState& boot, ExitHandler& exits) {
  if (auto entered = vcpus_.front()->enter_at(boot); !entered) return entered.error();
  for (unsigned index = 0; index < vcpus_.size(); index++) {
    std::optional<unsigned> pin;
    if (!options_.cpu_affinity.empty()) pin = options_.cpu_affinity[index];
    if (auto started = vcpus_[index]->start(exits, pin); !started) return started.error();
  }
  return {};
}

void Kvm::pause() {
  for (const auto& vcpu : vcpus_) vcpu->ask_to_pause();
  for (const auto& vcpu : vcpus_) vcpu->await_pause();
}

void Kvm::resume() {
  for (const auto& vcpu : vcpus_) vcpu->resume();
}

void Kvm::stop() {
  for (const auto& vcpu : vcpus_) vcpu->ask_to_stop();
  for (const auto& vcpu : vcpus_) vcpu->join();
}

Result<void> Kvm::reset() {
  stop();
  vcpus_.clear();
  return build_vm();
}

void Kvm::set_irq(unsigned gsi, bool asserted) {
  kvm_irq_level level{};
  level.irq = gsi;
  level.level = asserted;
  kvm_ioctl(vm_.fd(), KVM_IRQ_LINE, &level);  // fails only while a reset replaces the controllers
}

void Kvm::send(uint64_t address, uint32_t data) { routes_.send({address, data}); }

bool Kvm::add_doorbell(const Doorbell& doorbell) {
  kvm_ioeventfd request = ioeventfd(doorbell, 0);
  return kvm_ioctl(vm_.fd(), KVM_IOEVENTFD, &request) == 0;
}

void Kvm::remove_doorbell(const Doorbell& doorbell) {
  kvm_ioeventfd request = ioeventfd(doorbell, KVM_IOEVENTFD_FLAG_DEASSIGN);
  kvm_ioctl(vm_.fd(), KVM_IOEVENTFD, &request);
}

}  // namespace acrn
