// vblk info: the function as a driver sees it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "acrn/pci/pci_spec.h"
#include "dm/base/page.h"
#include "dm/tools/commands.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

Json describe_pci(LegacyDriver& driver) {
  GuestFunction& function = driver.function();
  Json pci{{"address", fmt::format("{:02x}:{:02x}.{}", function.address().bus, function.address().slot,
                                   function.address().function)},
           {"id", fmt::format("{:04x}:{:04x}", function.config_read(PCI_VENDOR_ID, 2),
                              function.config_read(PCI_DEVICE_ID, 2))},
           {"subsystem", fmt::format("{:04x}:{:04x}", function.config_read(PCI_SUBSYSTEM_VENDOR_ID, 2),
                                     function.config_read(PCI_SUBSYSTEM_ID, 2))},
           {"class", fmt::format("{:06x}", function.config_read(PCI_REVISION_ID, 4) >> 8)},
           {"revision", function.config_read(PCI_REVISION_ID, 1)},
           {"interrupt_pin", function.config_read(PCI_INTERRUPT_PIN, 1)}};
  for (unsigned i = 0; i < kPciBars; i++) {
    const GuestBar& bar = function.bar(i);
    if (bar.kind == BarKind::kAbsent) continue;
    pci["bars"].push_back({{"bar", i},
                           {"kind", bar.kind == BarKind::kIo ? "io" : "memory"},
                           {"address", fmt::format("{:#x}", bar.address)},
                           {"size", bar.size}});
  }
  pci["msix"] = function.capability(PCI_CAP_ID_MSIX).has_value();
  pci["msi"] = function.capability(PCI_CAP_ID_MSI).has_value();
  return pci;
}

Json describe_disk(LegacyDriver& driver, const std::string& serial) {
  const VirtioBlkConfig config = driver.config();
  const uint64_t sectors = config.capacity;
  const uint32_t block = config.blk_size;
  Json disk{
      {"serial", serial},
      {"capacity_sectors", sectors},
      {"capacity_bytes", sectors * VIRTIO_BLK_SECTOR_SIZE},
      {"logical_block", block},
      {"physical_block", block << config.physical_block_exp},
      {"seg_max", uint32_t{config.seg_max}},
      {"geometry", {{"cylinders", uint16_t{config.cylinders}}, {"heads", config.heads}, {"sectors", config.sectors}}},
      {"cache", config.writeback != 0 ? "writeback" : "writethru"},
      {"queues", driver.accepted(VIRTIO_BLK_F_MQ) ? uint16_t{config.num_queues} : 1},
      {"queue_size", driver.queue(0).ring().size()}};
  if (driver.accepted(VIRTIO_BLK_F_DISCARD)) {
    disk["discard"] = {{"max_sectors", uint32_t{config.max_discard_sectors}},
                       {"max_segments", uint32_t{config.max_discard_seg}},
                       {"alignment_sectors", uint32_t{config.discard_sector_alignment}}};
  }
  return disk;
}

// A value in words.
std::string text_of(const std::string& key, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  const auto part = [&](const char* name) { return value[name].dump(); };
  if (key == "geometry")
    return concat(part("cylinders"), " cylinders, ", part("heads"), " heads, ", part("sectors"), " sectors");
  if (key == "discard") {
    return concat("up to ", part("max_segments"), " segments of ", part("max_sectors"), " sectors, aligned to ",
                  part("alignment_sectors"));
  }
  return value.dump();
}

void print_line(const std::string& key, const std::string& text) {
  fmt::print("{}\n", wrapped(fmt::format("  {:<18} ", key), text, 21));
}

void print_section(const char* title, const Json& section) {
  fmt::print("{}\n", title);
  for (const auto& [key, value] : section.items()) {
    if (key != "bars") {
      print_line(key, text_of(key, value));
      continue;
    }
    for (const Json& bar : value) {
      print_line("bar " + bar["bar"].dump(), concat(bar["kind"].get<std::string>(), ", ", bar["size"].dump(),
                                                    " bytes at ", bar["address"].get<std::string>()));
    }
  }
}

}  // namespace

Result<void> run_info(const SessionOptions& options, bool json) {
  auto session = Session::open(options, 1);
  if (!session) return session.error();
  auto driver = session.value()->drive(0, options.driver());
  if (!driver) return driver.error();
  auto serial = driver.value()->serial();
  if (!serial) return serial.error();
  const Json report{{"pci", describe_pci(*driver.value())},
                    {"features", blk_feature_names(driver.value()->offered())},
                    {"disk", describe_disk(*driver.value(), serial.value())}};
  if (json) {
    fmt::print("{}\n", report.dump(2, ' ', false, Json::error_handler_t::replace));
    return {};
  }
  print_section("PCI function", report["pci"]);
  std::string features;
  for (const auto& name : report["features"]) features += concat(features.empty() ? "" : " ", name.get<std::string>());
  fmt::print("Features offered ({:#010x})\n{}\n", driver.value()->offered(), wrapped("", features, 2));
  print_section("Disk", report["disk"]);
  return {};
}

}  // namespace acrn
