// What the guest's processors say of themselves: what KVM supports, with each one's place among the others.
#pragma once

#include <linux/kvm.h>

#include <vector>

#include "acrn/base/result.h"

namespace acrn {

// `system`: the descriptor of /dev/kvm.
Result<std::vector<kvm_cpuid_entry2>> supported_cpuid(int system);

// The table of processor `index` of `count`, all of them cores of one package. Pure.
std::vector<kvm_cpuid_entry2> guest_cpuid(std::vector<kvm_cpuid_entry2> supported, unsigned index, unsigned count);

}  // namespace acrn
