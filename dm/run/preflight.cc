#include "dm/run/preflight.h"

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "acrn/base/concat.h"
#include "dm/base/folder.h"
#include "dm/block/sources/byte_lock.h"
#include "dm/control/control_server.h"
#include "dm/control/metrics_server.h"
#include "dm/devices/block_device_options.h"
#include "dm/devices/device_table.h"
#include "dm/machine/pci_setup.h"
#include "dm/run/confinement.h"
#include "dm/serial/serial_endpoints.h"

namespace acrn {
namespace {

// Two slots that would serve the same bytes.
Result<void> check_exclusive(const std::vector<PciSlotConfig>& slots, const std::vector<DeviceFacts>& facts) {
  for (size_t later = 1; later < slots.size(); later++) {
    for (size_t earlier = 0; earlier < later; earlier++) {
      const auto &a = facts[earlier].disk, &b = facts[later].disk;
      const DiskFacts::Bytes* const conflict = a && b ? find_conflict(*a, *b) : nullptr;
      if (conflict == nullptr) continue;
      return in_slot(slots[later], bytes_in_use(conflict->path, conflict->start, conflict->size,
                                                concat("slot ", short_name(slots[earlier].address))));
    }
  }
  return {};
}

// Slots of one group that disagree about its limits.
Result<void> check_groups(const std::vector<PciSlotConfig>& slots) {
  std::map<std::string, const PciSlotConfig*> groups;  // who gave the limits
  for (const PciSlotConfig& slot : slots) {
    const BlockOptions* const disk = block_options(slot);
    if (disk == nullptr || disk->throttle_group.empty() || !disk->limits.any()) continue;
    const auto [first, fresh] = groups.emplace(disk->throttle_group, &slot);
    if (fresh || block_options(*first->second)->limits == disk->limits) continue;
    return in_slot(slot, {ErrorKind::kUsage,
                          concat("throttle_group=", disk->throttle_group, ": slot ", short_name(first->second->address),
                                 " gives it other limits; give them once")});
  }
  return {};
}

// A server of disks has nothing to give before there is one.
Result<void> check_exports(const DmConfig& config, const std::vector<DeviceFacts>& facts) {
  if (!config.serve || config.serve->server->create_block == nullptr) return {};
  for (size_t i = 0; i < facts.size(); i++) {
    const BlockOptions* const disk = block_options(config.slots[i]);
    if (disk != nullptr && (disk->write_errors != ErrorPolicy::kReport || disk->read_errors != ErrorPolicy::kReport)) {
      return in_slot(config.slots[i],
                     {ErrorKind::kUsage,
                      concat(disk->read_errors != ErrorPolicy::kReport ? "rerror" : "werror", ": clients of --serve ",
                             config.serve->server->name, " are told of every error; leave it out")});
    }
    if (!facts[i].disk || facts[i].disk->info.size != 0) continue;
    return in_slot(config.slots[i],
                   {ErrorKind::kUsage, concat("nodisk: --serve ", config.serve->server->name,
                                              " serves disks that are there; name one, like disk.img")});
  }
  return {};
}

Result<std::vector<DeviceFacts>> inspect_slots(const DmConfig& config) {
  std::vector<DeviceFacts> facts;
  std::vector<BarShape> bars;
  for (const PciSlotConfig& slot : config.slots) {
    auto found = inspect_device(slot, virtio_options(config));
    if (!found) return found.error();
    facts.push_back(std::move(found).value());
    bars.insert(bars.end(), facts.back().function.bars.begin(), facts.back().function.bars.end());
  }
  if (auto grouped = check_groups(config.slots); !grouped) return grouped.error();
  if (auto exclusive = check_exclusive(config.slots, facts); !exclusive) return exclusive.error();
  if (auto exported = check_exports(config, facts); !exported) return exported.error();
  for (const PciSlotConfig& slot : config.slots) {
    const BlockOptions* const disk = block_options(slot);
    if (disk == nullptr) continue;
    if (auto unlocked = check_unlocked(*disk); !unlocked) return in_slot(slot, unlocked.error());
  }
  if (config.serve) return facts;
  if (const auto placed = place_bars(bars); !placed) return placed.error();
  return facts;
}

// What the VM starts with, and the option that says so.
using NamedKernel = std::pair<const char*, const std::string*>;
std::vector<NamedKernel> kernels(const DmConfig& config) {
  std::vector<NamedKernel> given;
  for (const auto& [option, path] :
       {std::pair("-k", &config.kernel), std::pair("-E", &config.elf_file), std::pair("--ovmf", &config.firmware)}) {
    if (*path) given.emplace_back(option, &**path);
  }
  return given;
}

Result<void> check_one_kernel(const DmConfig& config) {
  const auto given = kernels(config);
  if (given.size() < 2) return {};
  return Error{ErrorKind::kUsage, concat(given[1].first, " ", *given[1].second, ": the VM starts with ", given[0].first,
                                         " ", *given[0].second, " already; leave one of them out")};
}

Result<void> check_machine(const DmConfig& config) {
  if (auto checked = check_one_kernel(config); !checked) return checked;
  if (!has_kernel(config) && config.ramdisk) {
    return Error{ErrorKind::kUsage,
                 concat("-r ", *config.ramdisk, ": a ramdisk without a kernel; give -k, like -k /boot/vmlinuz")};
  }
  if (has_kernel(config)) {
    if (auto kernel = BootImage::open(boot_options(config)); !kernel) return kernel.error();
  }
  if (auto checked = check_affinity(hypervisor_options(config)); !checked) return checked;
  for (const SerialPortConfig& port : config.serial_ports) {
    if (auto checked = check_serial_endpoints(port.backend, concat("-l com", port.com)); !checked) return checked;
  }
  return {};
}

// The paths that a run makes or writes to: none has two users, and none is a disk.
class WrittenPaths {
 public:
  // `slot` says whose: several slots may share a disk.
  void add_disk(const std::string& path, const std::string& slot) {
    if (const auto place = place_of(path)) users_.emplace(*place, concat(slot, " has it as its disk"));
  }
  // `option`: with the path, for a message; `user`: who makes or writes it.
  Result<void> add(const std::string& path, const std::string& option, const std::string& user) {
    const auto place = place_of(path);
    if (!place) return {};  // which is refused elsewhere
    const auto [other, fresh] = users_.emplace(*place, concat(user, " uses that already"));
    if (fresh) return {};
    return Error{ErrorKind::kUsage, concat(option, ": ", other->second, "; give another path")};
  }
  Result<void> add(const std::string& path, const std::string& user) {
    return add(path, concat(user, " ", path), user);
  }

 private:
  // A file that is there; or a folder, and a name there.
  using Place = std::tuple<dev_t, ino_t, std::string>;

  static std::optional<Place> place_of(const std::string& path) {
    struct stat there {};
    if (::stat(path.c_str(), &there) == 0) return Place(there.st_dev, there.st_ino, "");
    if (::stat(parent_folder(path).c_str(), &there) != 0) return std::nullopt;
    return Place(there.st_dev, there.st_ino, path.substr(path.rfind('/') + 1));
  }

  std::map<Place, std::string> users_;
};

void add_disks(const DmConfig& config, WrittenPaths& paths) {
  for (const PciSlotConfig& slot : config.slots) {
    const BlockOptions* const disk = block_options(slot);
    const auto* const file = disk != nullptr ? std::get_if<FilePath>(&disk->source) : nullptr;
    if (file != nullptr) paths.add_disk(file->path, concat("slot ", short_name(slot.address)));
  }
}

// A terminal or a FIFO may be anybody's.
Result<void> check_serial_files(const DmConfig& config, WrittenPaths& paths) {
  for (const SerialPortConfig& port : config.serial_ports) {
    struct stat there {};
    if (port.backend == "stdio" || port.backend == "pty") continue;
    if (::stat(port.backend.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) continue;
    if (auto added = paths.add(port.backend, concat("-l com", port.com)); !added) return added;
  }
  return {};
}

Result<void> check_servers(const DmConfig& config, WrittenPaths& paths) {
  if (config.cmd_monitor) {
    if (auto checked = ControlServer::check(*config.cmd_monitor); !checked) return checked;
    if (auto added = paths.add(*config.cmd_monitor, "--cmd_monitor"); !added) return added;
  }
  if (config.metrics) {
    if (auto checked = MetricsServer::check(*config.metrics); !checked) return checked;
    const auto* const path = std::get_if<std::string>(&*config.metrics);
    if (path != nullptr) {
      if (auto added = paths.add(*path, "--metrics"); !added) return added;
    }
  }
  return {};
}

Result<void> check_files_of(const PciSlotConfig& slot, WrittenPaths& paths) {
  const BlockOptions* const disk = block_options(slot);
  if (disk == nullptr) return {};
  for (const auto& [key, path] : {std::pair("trace=", disk->trace), std::pair("log=", disk->log)}) {
    if (path.empty()) continue;
    auto added = paths.add(path, concat(key, path), concat("slot ", short_name(slot.address)));
    if (!added) return in_slot(slot, added.error());
  }
  return {};
}

Result<void> check_written_paths(const DmConfig& config) {
  WrittenPaths paths;
  add_disks(config, paths);
  if (auto checked = check_serial_files(config, paths); !checked) return checked;
  if (auto checked = check_servers(config, paths); !checked) return checked;
  for (const PciSlotConfig& slot : config.slots) {
    if (auto checked = check_files_of(slot, paths); !checked) return checked;
    if (!config.serve || !slot.device->servable) continue;
    const std::string path = serve_socket(config, slot.address);
    if (auto checked = config.serve->server->check(path); !checked) return checked;
    if (auto added = paths.add(path, concat("slot ", short_name(slot.address))); !added) return added;
  }
  return {};
}

}  // namespace

VirtioOptions virtio_options(const DmConfig& config) {
  return {.single_msi = config.virtio_msi, .windows = config.windows, .poll_nanoseconds = config.virtio_poll};
}

HypervisorOptions hypervisor_options(const DmConfig& config) {
  return {.kind = config.hypervisor,
          .vm_name = config.vm_name,
          .uuid = config.uuid,
          .uuid_given = config.uuid_given,
          .vcpus = config.vcpus,
          .cpu_affinity = config.cpu_affinity};
}

BootImage::Options boot_options(const DmConfig& config) {
  const auto [option, path] = kernels(config).front();
  return {.kernel = *path,
          .option = option,
          .ramdisk = config.ramdisk,
          .bootargs = config.bootargs,
          .ram = ram_layout(config.memory)};
}

Result<std::vector<DeviceFacts>> preflight(const DmConfig& config) {
  if (!config.serve) {
    if (auto checked = check_machine(config); !checked) return checked.error();
  }
  auto facts = inspect_slots(config);
  if (!facts) return facts;
  if (auto checked = check_written_paths(config); !checked) return checked.error();
  if (auto checked = check_sandbox(config); !checked) return checked.error();
  return facts;
}

}  // namespace acrn
