// What one `-s` says: where a PCI function sits, what it emulates and with which options. Pure.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/pci/pci_function.h"

namespace acrn {

struct DeviceRow;  // device.h

// One alternative for each kind of options that a device has.
struct NoOptions {};
using SlotOptions = std::variant<NoOptions, BlockOptions>;

struct PciSlotConfig {
  PciAddress address;
  const DeviceRow* device = nullptr;  // what it emulates; never null once it is parsed
  SlotOptions options;                // the alternative that the device's row parses
};

// Null if the slot is no disk.
inline const BlockOptions* block_options(const PciSlotConfig& slot) { return std::get_if<BlockOptions>(&slot.options); }
// Whether another process is to see the guest's memory.
inline bool shares_memory(std::span<const PciSlotConfig> slots) {
  return std::any_of(slots.begin(), slots.end(), [](const PciSlotConfig& slot) {
    const BlockOptions* const disk = block_options(slot);
    return disk != nullptr && disk->share;
  });
}

// `text` is <slot>,<emulation>[,<config>] (docs/options.md); the emulation is a row of `devices`. Errors are kUsage.
Result<PciSlotConfig> parse_slot(std::string_view text, std::span<const DeviceRow> devices);

// "9", "9:0" or "0:9:0". Errors are kUsage.
Result<PciAddress> parse_slot_address(std::string_view text);
// What `blkrescan` takes: <slot>,<path>[,opt...].
struct RescanRequest {
  PciAddress address;
  std::vector<std::string> disk;  // <path>[,opt...], for parse_rescan_options()
  int file = -1;                  // a descriptor that came with it; whoever asks closes it afterwards
};
// Looks at the slot only. Errors are kUsage.
Result<RescanRequest> parse_rescan(std::string_view text);

// What the slots may not do together: two functions in one place, two devices of which a machine has one, more queues
// than vCPUs.
Result<void> check_slots(const std::vector<PciSlotConfig>& slots, unsigned vcpus);

// The same error, with the slot in front.
Error in_slot(const PciSlotConfig& slot, const Error& error);
// "9:0", or "1:9:0" on a bus other than 0: for messages.
std::string short_name(const PciAddress& address);
// "0:9:0": the slot's name for inspect_disk() and open_disk().
std::string full_name(const PciAddress& address);
// "virtio-blk (/a.img)": for messages.
std::string describe(const PciSlotConfig& slot);

}  // namespace acrn
