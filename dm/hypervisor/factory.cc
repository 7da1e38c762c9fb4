#include "dm/hypervisor/factory.h"

#include "dm/base/host_cpus.h"
#include "dm/hypervisor/acrn/acrn.h"
#include "dm/hypervisor/acrn/affinity.h"
#include "dm/hypervisor/kvm/kvm.h"
#include "dm/hypervisor/probe.h"

namespace acrn {
namespace {

Result<std::unique_ptr<Hypervisor>> create_kvm(const HypervisorOptions& options) {
  const KvmOptions kvm_options{.vcpus = options.vcpus, .cpu_affinity = options.cpu_affinity};
  {
    auto trial = Kvm::create(kvm_options);
    if (!trial) return trial.error();
    if (auto usable = probe_hypervisor(*trial.value()); !usable) return usable.error();
  }
  auto kvm = Kvm::create(kvm_options);
  if (!kvm) return kvm.error();
  return std::unique_ptr<Hypervisor>(std::move(kvm).value());
}

// 0: as ACRN's configuration says.
Result<uint64_t> acrn_affinity(const HypervisorOptions& options) {
  if (options.cpu_affinity.empty()) return uint64_t{0};
  const auto madt = read_madt();
  if (!madt) return madt.error();
  return affinity_bitmap(options.cpu_affinity, madt.value());
}

Result<std::unique_ptr<Hypervisor>> create_acrn(const HypervisorOptions& options, EventLoop& loop) {
  auto hsm = open_hsm();
  if (!hsm) return hsm.error();
  AcrnOptions acrn_options{.vm_name = options.vm_name, .uuid = {}, .vcpus = options.vcpus, .loop = &loop};
  if (options.uuid_given || options.vm_name.size() > Acrn::kMaxName) acrn_options.uuid = options.uuid.bytes;
  const auto bitmap = acrn_affinity(options);
  if (!bitmap) return bitmap.error();
  acrn_options.cpu_affinity = bitmap.value();
  auto acrn = Acrn::create(acrn_options, std::move(hsm).value());
  if (!acrn) return acrn.error();
  return std::unique_ptr<Hypervisor>(std::move(acrn).value());
}

}  // namespace

HypervisorKind chosen_hypervisor(const HypervisorOptions& options) {
  return options.kind.value_or(has_hsm() ? HypervisorKind::kAcrn : HypervisorKind::kKvm);
}

Result<std::unique_ptr<Hypervisor>> create_hypervisor(const HypervisorOptions& options, EventLoop& loop) {
  return chosen_hypervisor(options) == HypervisorKind::kAcrn ? create_acrn(options, loop) : create_kvm(options);
}

Result<void> check_affinity(const HypervisorOptions& options) {
  if (chosen_hypervisor(options) == HypervisorKind::kKvm)
    return check_host_cpus(options.cpu_affinity, "--cpu_affinity");
  const auto bitmap = acrn_affinity(options);
  return bitmap ? Result<void>() : bitmap.error();
}

}  // namespace acrn
