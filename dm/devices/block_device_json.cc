#include <nlohmann/json.hpp>

#include "acrn/virtio/virtio_spec.h"
#include "dm/devices/block_device.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_report.h"
#include "dm/ident/disk_serial.h"

namespace acrn::block_device {
namespace {

using Json = nlohmann::ordered_json;

Json discard_json(const DiscardLimits& limits) {
  if (limits.max_segments == 0) return nullptr;
  return {{"max_sectors", limits.max_sectors}, {"max_segments", limits.max_segments}, {"alignment", limits.alignment}};
}

Json range_json(const BlockOptions& options) {
  if (!options.range) return nullptr;
  const uint64_t sector = options.logical_sector;
  return {{"start_bytes", options.range->start * sector}, {"size_bytes", options.range->size * sector}};
}

Json image_json(const DiskFacts& facts) {
  if (!facts.image) return nullptr;
  Json backing = Json::array();
  for (const ImageInfo::Backing& file : facts.image->backing) {
    backing.push_back({{"path", file.path}, {"format", name_of(file.format)}});
  }
  return {{"reader", name_of(facts.image->reader)},
          {"virtual_bytes", facts.image->virtual_size},
          {"allocated_bytes", facts.image->allocated},
          {"backing", std::move(backing)}};
}

}  // namespace

void to_json(const PciSlotConfig& slot, const DeviceFacts& device, Json& json) {
  const BlockOptions& options = *block_options(slot);
  const DiskFacts& facts = *device.disk;
  json["block"] = {
      {"source", source_text(options.source)},
      {"medium", facts.medium},
      {"capacity_bytes", facts.info.size},
      {"capacity_sectors", facts.info.size / VIRTIO_BLK_SECTOR_SIZE},
      {"logical_block", options.logical_sector},
      {"physical_block", facts.info.physical_block},
      {"cache", options.writeback ? "writeback" : "writethru"},
      {"read_only", options.read_only},
      {"nocache", options.nocache},
      {"dontcache", options.dontcache},
      {"range", range_json(options)},
      {"discard", discard_json(device.discard)},
      {"format", name_of(options.format)},
      {"looks_like", facts.looks_like.empty() ? Json() : Json(facts.looks_like)},
      {"image", image_json(facts)},
      {"key", options.key.empty() ? Json() : Json(options.key)},
      {"snapshot", options.snapshot},
      {"engine", word_of(kEngineWords, facts.engine)},
      {"map", word_of(kMapWords, facts.map)},
      {"kick", word_of(kKickWords, options.kick)},
      {"iothreads", options.iothreads},
      {"iothread_cpus", options.iothread_cpus},
      {"poll_us", options.poll ? Json(*options.poll) : Json()},
      {"queues", options.queues},
      {"queue_size", options.queue_size},
      {"limits", acrn::to_json(options.limits)},
      {"throttle_group", options.throttle_group.empty() ? Json() : Json(options.throttle_group)},
      {"io_timeout", options.io_timeout},
      {"werror", word_of(kWriteErrorWords, options.write_errors)},
      {"rerror", word_of(kReadErrorWords, options.read_errors)},
      {"log", options.log.empty() ? Json() : Json(options.log)},
      {"fault", options.faults.text.empty() ? Json() : Json(options.faults.text)},
      {"trace", options.trace.empty() ? Json() : Json(options.trace)},
      {"lock", options.lock},
      {"serial", options.serial.value_or(disk_serial(facts.identity))},
      {"features", blk_feature_names(device.function.features)},
  };
}

}  // namespace acrn::block_device
