// Whether a hypervisor can really run a 64-bit guest. Some can be opened and set up and then never come to a result,
// such as KVM under an emulator that lacks a part of it; a guest there would just be silent.
#pragma once

#include "acrn/base/result.h"
#include "acrn/vm/hypervisor.h"

namespace acrn {

// Runs a few instructions in long mode, for two seconds at most. The hypervisor is used up by it.
Result<void> probe_hypervisor(Hypervisor& hypervisor);

}  // namespace acrn
