// `--dry_run`: the configuration with everything resolved, as JSON. Opens nothing for writing, creates and
// locks nothing.
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/result.h"
#include "dm/config.h"

namespace acrn {

// What a guest reads in a function's PCI header.
struct PciIds {
  uint16_t vendor = 0, device = 0;
  uint32_t class_code = 0;  // 0xBBSSPP
  uint16_t subsystem_vendor = 0, subsystem = 0;
};
using PciIdsOf = PciIds (*)(const PciSlotConfig& slot, bool windows);

// Pretty-printed, without a newline at the end. Errors: kNoInput for a file that cannot be served, kUsage for
// an option that does not fit it.
Result<std::string> dry_run(const DmConfig& config, PciIdsOf ids_of);

// The feature bits that a virtio-blk with these options offers (virtio 1.2 5.2.3, 0.9.5 appendix B).
uint64_t offered_features(const BlockOptions& options);

}  // namespace acrn
