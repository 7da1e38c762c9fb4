#include "dm/hypervisor/kvm/cpuid.h"

#include <bit>

#include "dm/hypervisor/kvm/kernel_lists.h"
#include "dm/hypervisor/kvm/kvm_ioctl.h"

namespace acrn {
namespace {

constexpr uint32_t kTscDeadlineTimer = 1 << 24;  // leaf 1, ECX

// Leaf 1: the initial APIC ID, how many there are, and that a hypervisor is below.
void set_identity(kvm_cpuid_entry2& leaf, unsigned index, unsigned count) {
  constexpr uint32_t kHypervisor = uint32_t{1} << 31, kHtt = 1 << 28;
  leaf.ebx = (leaf.ebx & 0x0000'ffff) | count << 16 | index << 24;
  leaf.ecx |= kHypervisor;
  leaf.edx = count > 1 ? leaf.edx | kHtt : leaf.edx & ~kHtt;
}

// Leaf 0xb: no threads in a core, all cores in one package. Made here: kernels differ in what they say of it.
void add_topology(std::vector<kvm_cpuid_entry2>& leaves, unsigned index, unsigned count) {
  constexpr uint32_t kThread = 1, kCore = 2;
  kvm_cpuid_entry2 leaf{};
  leaf.function = 0xb;
  leaf.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  leaf.edx = index;
  leaf.ebx = 1;
  leaf.ecx = kThread << 8;
  leaves.push_back(leaf);
  leaf.index = 1;
  leaf.eax = static_cast<uint32_t>(std::bit_width(count - 1));
  leaf.ebx = count;
  leaf.ecx = 1 | kCore << 8;
  leaves.push_back(leaf);
  leaf.index = 2;
  leaf.eax = leaf.ebx = 0;
  leaf.ecx = 2;
  leaves.push_back(leaf);
}

}  // namespace

Result<std::vector<kvm_cpuid_entry2>> supported_cpuid(int system) {
  for (unsigned capacity = 128; capacity <= 4096; capacity *= 2) {
    std::vector<kvm_cpuid_entry2> entries(capacity);
    if (acrn_kvm_get_supported_cpuid(system, entries.data(), &capacity) == 0) {
      entries.resize(capacity);
      // With the local APIC in the kernel this timer is there, though older kernels leave that to us to say.
      const bool has_deadline = kvm_ioctl(system, KVM_CHECK_EXTENSION, long{KVM_CAP_TSC_DEADLINE_TIMER}) > 0;
      for (kvm_cpuid_entry2& leaf : entries) {
        if (leaf.function == 1 && has_deadline) leaf.ecx |= kTscDeadlineTimer;
      }
      return entries;
    }
    if (errno != E2BIG) break;
  }
  return kvm_error("KVM_GET_SUPPORTED_CPUID");
}

std::vector<kvm_cpuid_entry2> guest_cpuid(std::vector<kvm_cpuid_entry2> supported, unsigned index, unsigned count) {
  // 0x1f says the same as 0xb with more levels, which there are not.
  const bool has_topology =
      std::erase_if(supported, [](const auto& leaf) { return leaf.function == 0xb || leaf.function == 0x1f; }) != 0;
  if (has_topology) add_topology(supported, index, count);
  for (kvm_cpuid_entry2& leaf : supported) {
    switch (leaf.function) {
      case 1: set_identity(leaf, index, count); break;
      case 4:  // Intel's caches: cores per package
        leaf.eax = (leaf.eax & 0x03ff'ffff) | (count - 1) << 26;
        break;
      case 0x8000'0008:  // AMD: cores per package
        leaf.ecx = (leaf.ecx & ~0xf0ffu) | (count - 1);
        break;
      case 0x8000'001e:  // AMD: APIC ID, core, node
        leaf.eax = leaf.ebx = index;
        leaf.ecx = 0;
        break;
      default: break;
    }
  }
  return supported;
}

}  // namespace acrn
