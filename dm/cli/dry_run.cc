#include "dm/cli/dry_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/cli/command_options.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

// As lspci prints them: no 0x, leading zeros.
std::string digits(uint32_t value, size_t count) {
  const std::string text = hex(value).substr(2);
  return std::string(count - text.size(), '0') + text;
}

Json ids_json(const PciFunctionInfo& ids) {
  return {{"vendor", digits(ids.vendor, 4)},
          {"device", digits(ids.device, 4)},
          {"class", digits(ids.class_code, 6)},
          {"revision", 0},
          {"subsystem_vendor", digits(ids.subsystem_vendor, 4)},
          {"subsystem", digits(ids.subsystem, 4)}};
}

// "vfio_user" of vfio-user.
std::string key_of(const ServerRow& server) {
  std::string key(server.name);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

Json slot_json(const PciSlotConfig& slot, const DeviceFacts& facts, const DmConfig& config) {
  Json json = {
      {"address", full_name(slot.address)}, {"emulation", slot.device->name}, {"pci", ids_json(facts.function)}};
  if (slot.device->to_json != nullptr) slot.device->to_json(slot, facts, json);
  if (config.serve && slot.device->servable) json[key_of(*config.serve->server)] = serve_socket(config, slot.address);
  return json;
}

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json machine_json(const DmConfig& config) {
  Json ports = Json::array();
  for (const SerialPortConfig& port : config.serial_ports) {
    ports.push_back({{"port", concat("com", port.com)}, {"backend", port.backend}});
  }
  return {
      {"name", config.vm_name},
      {"uuid", to_text(config.uuid)},
      {"memory_bytes", config.memory},
      {"vcpus", config.vcpus},
      {"cpu_affinity", config.cpu_affinity},
      {"hypervisor", config.hypervisor ? word_of(kHypervisorWords, *config.hypervisor) : "auto"},
      {"kernel", optional_json(config.kernel)},
      {"elf_file", optional_json(config.elf_file)},
      {"firmware", optional_json(config.firmware)},
      {"ramdisk", optional_json(config.ramdisk)},
      {"bootargs", config.bootargs},
      {"serial_ports", ports},
      {"virtio_msi", config.virtio_msi},
      {"virtio_poll_ns", optional_json(config.virtio_poll)},
      {"windows", config.windows},
      {"debugexit", config.debug_exit},
      {"stop_timeout_s", config.stop_timeout},
      {"cmd_monitor", optional_json(config.cmd_monitor)},
      {"metrics", config.metrics ? Json(to_text(*config.metrics)) : Json(nullptr)},
  };
}

// One key for each server that there is.
void add_servers(const DmConfig& config, Json& json) {
  for (const ServerRow& server : server_table()) json["serve_" + key_of(server)] = nullptr;
  if (config.serve) json["serve_" + key_of(*config.serve->server)] = config.serve->folder;
}

Json logger_json(const LoggerSetting& logger) {
  return {{"console", logger.console.value_or(static_cast<int>(kDefaultConsoleLevel))},
          {"disk", optional_json(logger.disk)},
          {"kmsg", optional_json(logger.kmsg)}};
}

}  // namespace

std::string dry_run(const DmConfig& config, std::span<const DeviceFacts> facts) {
  Json slots = Json::array();
  for (size_t i = 0; i < config.slots.size(); i++) slots.push_back(slot_json(config.slots[i], facts[i], config));
  Json json = machine_json(config);
  add_servers(config, json);
  json["sandbox"] = word_of(kSandboxWords, sandbox_mode(config));
  json["sandbox_paths"] = config.sandbox_paths;
  json["user"] = optional_json(config.user);
  json["logger"] = logger_json(config.logger);
  json["slots"] = std::move(slots);
  // A path need not be UTF-8, JSON must be: bytes that are not come out as U+FFFD.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace acrn
