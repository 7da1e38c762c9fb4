#include "dm/run/confinement.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/child_process.h"
#include "dm/base/errno_text.h"
#include "dm/base/folder.h"
#include "dm/block/sources/nbd/nbd_files.h"
#include "dm/devices/block_device_options.h"
#include "dm/event/event_trigger.h"
#include "dm/mem/peer_mapping.h"

namespace acrn {
namespace {

// What a disk makes its calls for.
PartSet parts_of(const BlockOptions& disk) {
  if (const auto* nbd = std::get_if<NbdUri>(&disk.source); nbd != nullptr) {
    // By a path and without TLS nothing is looked up.
    return static_cast<PartSet>(kNbdPart | (nbd->uri.starts_with("nbd+unix:") ? 0 : kNetworkPart));
  }
  if (std::holds_alternative<VhostUserSocket>(disk.source)) return kBackEndPart;
  if (std::holds_alternative<RbdName>(disk.source)) return kRbdPart;
  return std::holds_alternative<FilePath>(disk.source) && disk.is_image() ? kImagePart : kEveryProcess;
}

PartSet parts_of(const DmConfig& config) {
  PartSet parts = kEveryProcess;
  if (config.serve) {
    parts |= kServerPart;
  } else {
    parts |= chosen_hypervisor({.kind = config.hypervisor}) == HypervisorKind::kKvm ? kKvmPart : kAcrnPart;
  }
  if (config.cmd_monitor || config.metrics) parts |= kControlSocketPart;
  if (!config.serial_ports.empty()) parts |= kTerminalPart;
  if (!config.sandbox_paths.empty()) parts |= kPathsPart;
  for (const PciSlotConfig& slot : config.slots) {
    if (const BlockOptions* const disk = block_options(slot); disk != nullptr) parts |= parts_of(*disk);
  }
  return parts;
}

std::vector<std::string> sockets_of(const DmConfig& config) {
  std::vector<std::string> sockets;
  if (config.cmd_monitor) sockets.push_back(*config.cmd_monitor);
  if (config.metrics) {
    if (const auto* const path = std::get_if<std::string>(&*config.metrics); path != nullptr) sockets.push_back(*path);
  }
  for (const PciSlotConfig& slot : config.slots) {
    if (config.serve && slot.device->servable) sockets.push_back(serve_socket(config, slot.address));
  }
  return sockets;
}

// What the C library, libnbd and librbd read when they connect again.
std::vector<std::string> read_paths(const DmConfig& config, PartSet parts) {
  if ((parts & kRbdPart) != 0) return {"/"};  // a cluster's configuration names whatever it likes
  std::vector<std::string> paths;
  if ((parts & kNetworkPart) != 0) paths = {"/etc", "/run/systemd/resolve", "/usr", "/lib", "/lib64"};
  for (const PciSlotConfig& slot : config.slots) {
    const BlockOptions* const disk = block_options(slot);
    const auto* const nbd = disk != nullptr ? std::get_if<NbdUri>(&disk->source) : nullptr;
    if (nbd == nullptr) continue;
    for (std::string& path : nbd_files(nbd->uri)) paths.push_back(std::move(path));
  }
  if ((parts & kPathsPart) != 0) paths.emplace_back("/sys");  // what a block device can do
  return paths;
}

using Path = std::unique_ptr<char, decltype(&std::free)>;

Path real_path(const std::string& path) { return {::realpath(path.c_str(), nullptr), &std::free}; }

bool is_below(const std::string& path, const std::string& folder) {
  const Path real = real_path(path), top = real_path(folder);
  if (real == nullptr || top == nullptr) return false;
  const std::string_view inside(real.get()), outside(top.get());
  return inside.starts_with(outside) &&
         (outside == "/" || inside.size() == outside.size() || inside[outside.size()] == '/');
}

bool may_be_opened(const DmConfig& config, const std::string& path) {
  return std::any_of(config.sandbox_paths.begin(), config.sandbox_paths.end(),
                     [&](const std::string& folder) { return is_below(path, folder); });
}

// A log is opened with its disk, which may come when the process is confined.
Result<void> check_late_logs(const DmConfig& config) {
  for (const PciSlotConfig& slot : config.slots) {
    const BlockOptions* const disk = block_options(slot);
    if (disk == nullptr || !std::holds_alternative<NoDisk>(disk->source) || disk->log.empty()) continue;
    if (may_be_opened(config, parent_folder(disk->log))) continue;
    return in_slot(slot, {ErrorKind::kUsage,
                          concat("log=", disk->log,
                                 ": a confined process opens it when the disk comes, and only in a folder that it was "
                                 "started with; give --sandbox-path <folder>")});
  }
  return {};
}

}  // namespace

Result<void> check_sandbox(const DmConfig& config) {
  const SandboxMode mode = sandbox_mode(config);
  if (mode != SandboxMode::kOff && !kCanBeConfined) {
    return Error{ErrorKind::kUnavailable, concat("--sandbox ", word_of(kSandboxWords, mode),
                                                 ": this program was built with a sanitizer; give --sandbox off")};
  }
  for (const std::string& path : config.sandbox_paths) {
    struct stat there {};
    if (::stat(path.c_str(), &there) == 0) continue;
    return Error{ErrorKind::kNoInput, concat("--sandbox-path ", path,
                                             ": there is no such file or folder; name one, like "
                                             "--sandbox-path /var/lib/images")};
  }
  if (mode == SandboxMode::kOn) {
    if (auto checked = check_late_logs(config); !checked) return checked;
  }
  if (!config.user) return {};
  const auto user = SandboxUser::find(*config.user);
  return user ? Result<void>() : user.error();
}

void prepare_sandbox(const DmConfig& config) {
  prepare_sandbox();
  if (config.user && ::geteuid() == 0) {
    if (const auto user = SandboxUser::find(*config.user)) {
      ChildProcess::run_as({user.value().user, user.value().group, user.value().groups});
    }
  }
  if (sandbox_mode(config) == SandboxMode::kOff) return;
  prepare_recorder();
  const bool for_vmms = config.serve && config.serve->server->create_block == nullptr;
  if (!for_vmms || start_mapping_observer(confine_observer)) return;
  log(LogLevel::kWarning, concat("--sandbox: no process that looks at the mappings of clients: ", errno_text(errno)));
}

void (*recorder_confinement(const DmConfig& config))() {
  return is_sandbox_prepared() && sandbox_mode(config) != SandboxMode::kOff ? confine_recorder : nullptr;
}

void reserve_for_sandbox(const DmConfig& config) {
  if (!is_sandbox_prepared() || sandbox_mode(config) == SandboxMode::kOff) return;
  for (const PciSlotConfig& slot : config.slots) {
    const BlockOptions* const disk = block_options(slot);
    if (disk == nullptr) continue;
    // The interrupts of a client that has not come yet: of each queue and of the configuration, and as many while a
    // client replaces them.
    if (config.serve && config.serve->server->create_block == nullptr) EventTrigger::reserve(2 * (disk->queues + 1));
    if (std::holds_alternative<VhostUserSocket>(disk->source)) EventTrigger::reserve(disk->queues);  // kicks
  }
}

Result<void> enter_sandbox(const DmConfig& config) {
  if (!is_sandbox_prepared()) return {};
  SandboxPlan plan{.mode = sandbox_mode(config),
                   .parts = parts_of(config),
                   .paths = config.sandbox_paths,
                   .read_paths = {},
                   .sockets = sockets_of(config),
                   .user = {}};
  plan.read_paths = read_paths(config, plan.parts);
  if (config.user) {
    auto user = SandboxUser::find(*config.user);
    if (!user) return user.error();
    plan.user = std::move(user).value();
  }
  return enter_sandbox(plan);
}

Result<void> check_late_disk(const DmConfig& config, const std::vector<std::string>& fields) {
  if (!is_confined() || fields.empty()) return {};
  const auto options = parse_block_options(fields);
  if (!options) return {};  // which is refused elsewhere, or a file that was sent
  const BlockOptions& disk = options.value();
  const auto* const file = std::get_if<FilePath>(&disk.source);
  if (parts_of(disk) != kEveryProcess) {
    return usage_error(
        concat("blkrescan: ", source_text(disk.source),
               ": a confined process starts no program and connects to nothing new; name it at the start, "
               "or start with --sandbox off"));
  }
  if (file == nullptr) return {};
  if (may_be_opened(config, file->path)) return {};
  return usage_error(
      concat("blkrescan: ", file->path,
             ": a confined process opens only what is in a folder that it was started with; start it with "
             "--sandbox-path <folder>"));
}

}  // namespace acrn
