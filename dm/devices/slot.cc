#include "dm/devices/slot.h"

#include <algorithm>
#include <map>

#include "dm/base/find_row.h"
#include "dm/cli/option_table.h"
#include "dm/devices/device_table.h"

namespace acrn {
namespace {

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
  return usage_error(concat("-s ", short_name(slot.address), ",", slot.device->name, ": ", detail));
}

// What ACRN's device model has and this one has not.
constexpr std::string_view kOfAcrnAlone[] = {
    "ahci",        "ahci-cd",      "ahci-hd",     "ivshmem",      "npk",
    "passthru",    "pci-gvt",      "uart",        "virtio-audio", "virtio-coreu",
    "virtio-gpio", "virtio-gpu",   "virtio-hdcp", "virtio-heci",  "virtio-hyper_dmabuf",
    "virtio-i2c",  "virtio-input", "virtio-ipu",  "virtio-net",   "virtio-rnd",
    "virtio-rpmb", "wdt-i6300esb", "xhci"};

Error unknown_emulation(const PciAddress& address, std::string_view name, std::span<const DeviceRow> devices) {
  const std::string slot = concat("-s ", short_name(address), ",", name, ": ");
  if (name == "virtio-console") {
    return usage_error(concat(slot, "not supported; give a serial port, like -l com1,stdio"));
  }
  if (std::find(std::begin(kOfAcrnAlone), std::end(kOfAcrnAlone), name) != std::end(kOfAcrnAlone)) {
    return usage_error(concat(slot, "not supported by this device model; remove the slot"));
  }
  std::string known;
  for (const DeviceRow& device : devices) known += concat(known.empty() ? "" : ", ", device.name);
  return usage_error(concat(slot, "'", name, "' is not an emulation; known: ", known));
}

}  // namespace

Result<PciSlotConfig> parse_slot(std::string_view text, std::span<const DeviceRow> devices) {
  const std::vector<std::string> fields = split_fields(text);
  const auto address = parse_address(fields[0]);
  if (!address) {
    return usage_error(concat("-s ", text, ": '", fields[0],
                              "' is not a slot; give <slot>[:<func>] or <bus>:<slot>:<func> with bus 0-255, "
                              "slot 0-31, func 0-7, like 9 or 0:9:0"));
  }
  if (fields.size() < 2 || fields[1].empty()) {
    return usage_error(concat("-s ", text, ": the emulation is missing; give one, like -s 9,virtio-blk,disk.img"));
  }
  const DeviceRow* const device = find_row(devices, fields[1]);
  if (device == nullptr) return unknown_emulation(*address, fields[1], devices);
  PciSlotConfig slot{*address, device, NoOptions()};
  const auto config = std::span(fields).subspan(2);
  if (device->parse != nullptr) {
    auto options = device->parse(config);
    if (!options) return slot_error(slot, options.error().message);
    slot.options = std::move(options).value();
  } else if (!config.empty()) {
    return slot_error(slot, concat("'", config[0], "': ", device->name, " takes no options; write just -s ",
                                   short_name(*address), ",", device->name));
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
  return RescanRequest{.address = address.value(), .disk = std::move(fields)};
}

Result<void> check_slots(const std::vector<PciSlotConfig>& slots, unsigned vcpus) {
  std::map<std::string, const PciSlotConfig*> taken;
  std::map<const DeviceRow*, const PciSlotConfig*> first;
  for (const PciSlotConfig& slot : slots) {
    const auto [other, is_free] = taken.emplace(full_name(slot.address), &slot);
    if (!is_free) {
      return slot_error(slot, concat("slot ", short_name(slot.address), " is already taken by ",
                                     describe(*other->second), "; choose another slot"));
    }
    const DeviceRow& device = *slot.device;
    const auto [same, is_first] = first.emplace(&device, &slot);
    if (!is_first && !device.only_one.empty()) {
      return slot_error(slot, concat("a machine has one ", device.only_one, ", and slot ",
                                     short_name(same->second->address), " has it; remove one"));
    }
    if (device.check_vcpus == nullptr) continue;
    if (auto checked = device.check_vcpus(slot.options, vcpus); !checked) {
      return slot_error(slot, checked.error().message);
    }
  }
  return {};
}

Error in_slot(const PciSlotConfig& slot, const Error& error) {
  return {error.kind, concat("-s ", short_name(slot.address), ": ", error.message)};
}

std::string short_name(const PciAddress& address) {
  const std::string name = concat(unsigned{address.slot}, ":", unsigned{address.function});
  return address.bus == 0 ? name : concat(unsigned{address.bus}, ":", name);
}

std::string full_name(const PciAddress& address) {
  return concat(unsigned{address.bus}, ":", unsigned{address.slot}, ":", unsigned{address.function});
}

std::string describe(const PciSlotConfig& slot) {
  const DeviceRow& device = *slot.device;
  return device.describe == nullptr ? std::string(device.name)
                                    : concat(device.name, " (", device.describe(slot.options), ")");
}

}  // namespace acrn
