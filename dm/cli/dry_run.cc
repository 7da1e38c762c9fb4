#include "dm/cli/dry_run.h"

#include <array>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "acrn/virtio/virtio_spec.h"
#include "dm/devices/block_device_options.h"
#include "dm/ident/disk_serial.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

Json discard_json(const DiscardLimits& limits) {
  return {{"max_sectors", limits.max_sectors}, {"max_segments", limits.max_segments}, {"alignment", limits.alignment}};
}

Json range_json(const BlockOptions& options) {
  if (!options.range) return nullptr;
  const uint64_t sector = options.logical_sector;
  return {{"start_bytes", options.range->start * sector}, {"size_bytes", options.range->size * sector}};
}

constexpr std::array kEngineNames{"auto", "threads", "io_uring"}, kKickNames{"auto", "inline", "loop"};

Json block_json(const BlockOptions& options, const FunctionFacts& function) {
  const DiskFacts& facts = *function.disk;
  return {
      {"source", source_text(options.source)},
      {"medium", facts.medium},
      {"capacity_bytes", facts.info.size},
      {"capacity_sectors", facts.info.size / VIRTIO_BLK_SECTOR_SIZE},
      {"logical_block", options.logical_sector},
      {"physical_block", facts.info.physical_block},
      {"cache", options.writeback ? "writeback" : "writethru"},
      {"read_only", options.read_only},
      {"nocache", options.nocache},
      {"range", range_json(options)},
      {"discard", function.discard.max_segments != 0 ? discard_json(function.discard) : Json(nullptr)},
      {"engine", kEngineNames[static_cast<size_t>(facts.engine)]},
      {"kick", kKickNames[static_cast<size_t>(options.kick)]},
      {"iothreads", options.iothreads},
      {"iothread_cpus", options.iothread_cpus},
      {"queues", options.queues},
      {"queue_size", options.queue_size},
      {"lock", options.lock},
      {"serial", options.serial.value_or(disk_serial(facts.identity))},
      {"features", blk_feature_names(function.face.features)},
  };
}

// As lspci prints them: no 0x, leading zeros.
std::string digits(uint32_t value, size_t count) {
  const std::string text = hex(value).substr(2);
  return std::string(count - text.size(), '0') + text;
}

Json ids_json(const FunctionFace& ids) {
  return {{"vendor", digits(ids.vendor, 4)},
          {"device", digits(ids.device, 4)},
          {"class", digits(ids.class_code, 6)},
          {"revision", 0},
          {"subsystem_vendor", digits(ids.subsystem_vendor, 4)},
          {"subsystem", digits(ids.subsystem, 4)}};
}

Json slot_json(const PciSlotConfig& slot, const FunctionFacts& facts, const DmConfig& config) {
  Json json = {{"address", full_name(slot.address)}, {"emulation", slot.emulation}, {"pci", ids_json(facts.face)}};
  if (slot.block) {
    json["block"] = block_json(*slot.block, facts);
    if (config.serve) json["vfio_user"] = vfio_user_socket(config, slot.address);
  }
  return json;
}

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json hypervisor_json(const std::optional<HypervisorKind>& kind) {
  if (!kind) return "auto";
  return *kind == HypervisorKind::kAcrn ? "acrn" : "kvm";
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
      {"hypervisor", hypervisor_json(config.hypervisor)},
      {"kernel", optional_json(config.kernel)},
      {"ramdisk", optional_json(config.ramdisk)},
      {"bootargs", config.bootargs},
      {"serial_ports", ports},
      {"virtio_msi", config.virtio_msi},
      {"virtio_poll_ns", optional_json(config.virtio_poll)},
      {"windows", config.windows},
      {"debugexit", config.debug_exit},
      {"cmd_monitor", optional_json(config.cmd_monitor)},
      {"serve_vfio_user", optional_json(config.serve)},
      {"logger",
       {{"console", config.logger.console.value_or(static_cast<int>(kDefaultConsoleLevel))},
        {"disk", optional_json(config.logger.disk)},
        {"kmsg", optional_json(config.logger.kmsg)}}},
  };
}

}  // namespace

std::string dry_run(const DmConfig& config, std::span<const FunctionFacts> facts) {
  Json slots = Json::array();
  for (size_t i = 0; i < config.slots.size(); i++) slots.push_back(slot_json(config.slots[i], facts[i], config));
  Json json = machine_json(config);
  json["slots"] = std::move(slots);
  // A path need not be UTF-8, JSON must be: bytes that are not come out as U+FFFD.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace acrn
