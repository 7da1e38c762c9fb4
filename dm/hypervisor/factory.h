// Which hypervisor runs a VM: the one that was named, or the one that the host has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/event/event_loop.h"
#include "acrn/vm/hypervisor.h"
#include "dm/ident/vm_uuid.h"

namespace acrn {

enum class HypervisorKind : uint8_t { kAcrn, kKvm };

struct HypervisorOptions {
  std::optional<HypervisorKind> kind;  // absent: ACRN if the host has it, else KVM
  std::string vm_name;
  VmUuid uuid;
  bool uuid_given = false;  // else ACRN finds the VM's configuration by its name
  unsigned vcpus = 1;
  std::vector<unsigned> cpu_affinity;  // host CPU of the n-th vCPU; empty: not pinned
};

// The one that a VM will have.
HypervisorKind chosen_hypervisor(const HypervisorOptions& options);

// Whether the CPUs of --cpu_affinity are there, as that hypervisor counts them.
Result<void> check_affinity(const HypervisorOptions& options);

// A VM of that hypervisor, if it can run a guest. `loop`: where it reports what happens to its VM; outlives it.
Result<std::unique_ptr<Hypervisor>> create_hypervisor(const HypervisorOptions& options, EventLoop& loop);

}  // namespace acrn
