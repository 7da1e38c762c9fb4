// What one `-s` says: where a PCI function sits, what it emulates and with which options. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/pci/pci_function.h"

namespace acrn {

struct PciSlotConfig {
  PciAddress address;
  std::string emulation;              // "virtio-blk", "hostbridge" or "lpc"
  std::optional<BlockOptions> block;  // for virtio-blk
};

// `text` is <slot>,<emulation>[,<config>] (docs/options.md). Errors are kUsage.
Result<PciSlotConfig> parse_slot(std::string_view text);

// "9", "9:0" or "0:9:0". Errors are kUsage.
Result<PciAddress> parse_slot_address(std::string_view text);
// What `blkrescan` takes: <slot>,<path>[,opt...].
struct RescanRequest {
  PciAddress address;
  std::vector<std::string> disk;  // <path>[,opt...], for parse_rescan_options()
};
// Looks at the slot only. Errors are kUsage.
Result<RescanRequest> parse_rescan(std::string_view text);

// What the slots may not do together: two functions in one place, two LPC bridges, more queues than vCPUs.
Result<void> check_slots(const std::vector<PciSlotConfig>& slots, unsigned vcpus);

// "9:0", or "1:9:0" on a bus other than 0: for messages.
std::string short_name(const PciAddress& address);
// "0:9:0": the slot's name for inspect_disk() and open_disk().
std::string full_name(const PciAddress& address);
// "virtio-blk (/a.img)": for messages.
std::string describe(const PciSlotConfig& slot);

}  // namespace acrn
