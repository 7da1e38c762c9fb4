// Which of ACRN's physical CPUs a VM is to run on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "acrn/base/result.h"

namespace acrn {

// ACRN counts its CPUs as the MADT lists their local APICs (ACPI 6.3 5.2.12.2), the enabled ones. Bit n of the result
// is CPU n. `madt`: the whole table. Pure. Errors: kUsage for a local APIC that is not in it.
Result<uint64_t> affinity_bitmap(std::span<const unsigned> lapic_ids, std::span<const std::byte> madt);

// The Service VM's own table, which is the machine's. Reading it takes root.
Result<std::vector<std::byte>> read_madt();

}  // namespace acrn
