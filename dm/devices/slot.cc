#include "dm/devices/slot.h"

#include <algorithm>
#include <array>
#include <map>

#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"

namespace acrn {
namespace {

constexpr std::string_view kBlock = "virtio-blk";
constexpr std::string_view kLpc = "lpc";
constexpr std::array<std::string_view, 3> kEmulations = {kBlock, "hostbridge", kLpc};

// <bus>:<slot>:<func>, <slot>:<func> or <slot>.
std::optional<PciAddress> parse_address(std::string_view text) {
  std::string colons(text);
  std::replace_if(
      colons.begin(), colons.end(), [](char c) { return c == '/' || c == '.'; }, ':');
  std::vector<std::string_view> parts = split_at(colons, ':');
  if (parts.size() > 3) return std::nullopt;
  if (parts.size() == 1) parts.emplace_back("0");
  if (parts.size() == 2) parts.insert(parts.begin(), "0");
  const auto bus = parse_number(parts[0], 0, 255);
  const auto slot = parse_number(parts[1], 0, 31);
  const auto function = parse_number(parts[2], 0, 7);
  if (!bus || !slot || !function) return std::nullopt;
  return PciAddress{static_cast<uint8_t>(*bus), static_cast<uint8_t>(*slot), static_cast<uint8_t>(*function)};
}

Error slot_error(const PciSlotConfig& slot, std::string_view detail) {
  return usage_error(concat("-s ", short_name(slot.address), ",", slot.emulation, ": ", detail));
}

}  // namespace

Result<PciSlotConfig> parse_slot(std::string_view text) {
  const std::vector<std::string> fields = split_fields(text);
  const auto address = parse_address(fields[0]);
  if (!address) {
    return usage_error(concat("-s ", text, ": '", fields[0],
                              "' is not a slot; give <slot>[:<func>] or "
                              "<bus>:<slot>:<func> with bus 0-255, slot 0-31, func 0-7, like 9 or 0:9:0"));
  }
  if (fields.size() < 2 || fields[1].empty()) {
    return usage_error(concat("-s ", text, ": the emulation is missing; give one, like -s 9,virtio-blk,disk.img"));
  }
  PciSlotConfig slot{*address, fields[1], std::nullopt};
  if (std::find(kEmulations.begin(), kEmulations.end(), slot.emulation) == kEmulations.end()) {
    std::string known;
    for (const auto emulation : kEmulations) known += concat(known.empty() ? "" : ", ", emulation);
    return usage_error(concat("-s ", short_name(*address), ",", slot.emulation, ": '", slot.emulation,
                              "' is not an emulation; known: ", known));
  }
  const auto config = std::span(fields).subspan(2);
  if (slot.emulation == kBlock) {
    Result<BlockOptions> block = parse_block_options(config);
    if (!block) return slot_error(slot, block.error().message);
    slot.block = std::move(block).value();
  } else if (!config.empty()) {
    return slot_error(slot, concat("'", config[0], "': ", slot.emulation, " takes no options; write just -s ",
                                   short_name(*address), ",", slot.emulation));
  }
  return slot;
}

Result<PciAddress> parse_slot_address(std::string_view text) {
  if (const auto address = parse_address(text)) return *address;
  return usage_error(
      concat("'", text, "' is not a slot; give <slot>[:<func>] or <bus>:<slot>:<func>, like 9 or 0:9:0"));
}

Result<RescanRequest> parse_rescan(std::string_view text) {
  std::vector<std::string> fields = split_fields(text);
  const auto address = parse_slot_address(fields[0]);
  if (!address) return usage_error(concat("blkrescan ", text, ": ", address.error().message));
  fields.erase(fields.begin());
  return RescanRequest{address.value(), std::move(fields)};
}

Result<void> check_slots(const std::vector<PciSlotConfig>& slots, unsigned vcpus) {
  std::map<std::string, const PciSlotConfig*> taken;
  const PciSlotConfig* lpc = nullptr;
  for (const PciSlotConfig& slot : slots) {
    const auto [other, is_free] = taken.emplace(full_name(slot.address), &slot);
    if (!is_free) {
      return slot_error(slot, concat("slot ", short_name(slot.address), " is already taken by ",
                                     describe(*other->second), "; choose another slot"));
    }
    if (slot.emulation == kLpc && lpc != nullptr) {
      return slot_error(
          slot, concat("a machine has one LPC bridge, and slot ", short_name(lpc->address), " has it; remove one"));
    }
    if (slot.emulation == kLpc) lpc = &slot;
    if (slot.block && slot.block->queues > vcpus) {
      const unsigned queues = slot.block->queues;
      return slot_error(slot, concat("mq=", queues, ": more queues than vCPUs (", vcpus, "); give mq=", vcpus,
                                     " or --cpus ", queues));
    }
  }
  return {};
}

std::string short_name(const PciAddress& address) {
  const std::string name = concat(unsigned{address.slot}, ":", unsigned{address.function});
  return address.bus == 0 ? name : concat(unsigned{address.bus}, ":", name);
}

std::string full_name(const PciAddress& address) {
  return concat(unsigned{address.bus}, ":", unsigned{address.slot}, ":", unsigned{address.function});
}

std::string describe(const PciSlotConfig& slot) {
  return slot.block ? concat(slot.emulation, " (", source_text(slot.block->source), ")") : slot.emulation;
}

}  // namespace acrn
