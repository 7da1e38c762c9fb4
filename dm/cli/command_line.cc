// CLI11 splits the arguments into options and values. It sees every value as text, so that every message
// about one is ours.
#include "dm/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <span>
#include <string_view>
#include <unordered_map>

#include "acrn/base/concat.h"
#include "dm/base/find_row.h"
#include "dm/cli/command_options.h"
#include "dm/cli/help.h"
#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"
#include "dm/socket/unix_address.h"

namespace acrn {
namespace {

constexpr size_t kMaxVmName = 63;
constexpr std::string_view kHostBridge = "hostbridge", kFirmwareHostBridge = "cloudhv_hostbridge";

using Arguments = std::vector<std::string>;

// The arguments as CLI11 understands them.
class SplitCommandLine {
 public:
  SplitCommandLine() {
    app_.set_help_flag();
    app_.allow_extras();
    for (const auto& option : command_options()) add(option.names, !option.argument.empty(), option.expects);
    for (const auto& option : obsolete_options()) add(option.names, option.takes_value, "one");
    for (const auto& option : unsupported_options()) add(option.names, option.takes_value, "one");
  }

  Result<void> split(const Arguments& arguments) {
    Arguments reversed;  // CLI11 takes them from the back
    for (const std::string& argument : arguments) append(argument, reversed);
    std::reverse(reversed.begin(), reversed.end());
    try {
      app_.parse(reversed);
    } catch (const CLI::ParseError&) {
      return explain(arguments);
    }
    bool only_names = false;
    for (const std::string& rest : app_.remaining()) {
      if (rest == "--" && !only_names) {
        only_names = true;
      } else {
        (only_names || !rest.starts_with('-') ? names_ : unknown_).push_back(rest);
      }
    }
    return {};
  }

  // Whether the option was given, and its values in order ("true" for a flag).
  bool has(std::string_view names) const { return app_.count(std::string(first_name(names))) > 0; }
  Arguments values(std::string_view names) const { return app_.get_option(std::string(first_name(names)))->results(); }
  const Arguments& vm_names() const { return names_; }
  const Arguments& unknown() const { return unknown_; }

 private:
  void add(std::string_view names, bool takes_value, std::string_view expects) {
    const std::string text(names);
    if (takes_value) {
      app_.add_option(text)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    } else {
      app_.add_flag(text)->disable_flag_override();
    }
    for (const std::string_view name : split_at(names, ',')) {
      if (takes_value) with_value_.emplace(name, expects);
    }
  }

  // CLI11 takes "--option=" as "--option" and would swallow the next argument as its value.
  void append(const std::string& argument, Arguments& to) const {
    const bool is_value = !to.empty() && with_value_.contains(to.back());
    const std::string name = argument.substr(0, argument.empty() ? 0 : argument.size() - 1);
    if (!is_value && argument.starts_with("--") && argument.ends_with('=') && with_value_.contains(name)) {
      to.push_back(name);
      to.emplace_back();
    } else {
      to.push_back(argument);
    }
  }

  // CLI11 refuses two things here: a flag with a value, and a last option without one.
  Error explain(const Arguments& arguments) const {
    for (const std::string& argument : arguments) {
      const std::string name(split_key(argument).key);
      const bool known = name.starts_with("--") && app_.get_option_no_throw(name) != nullptr;
      if (known && name != argument && !with_value_.contains(name)) {
        return usage_error(concat(argument, ": ", name, " takes no value; write just ", name));
      }
    }
    const auto option = with_value_.find(arguments.back());
    const std::string_view expects = option == with_value_.end() ? "one" : option->second;
    return usage_error(concat(arguments.back(), ": the value is missing; give ", expects));
  }

  CLI::App app_;
  std::unordered_map<std::string, std::string_view> with_value_;  // what each option's value should be
  Arguments names_, unknown_;
};

Result<void> check_options(const SplitCommandLine& line) {
  for (const ForeignOption& option : unsupported_options()) {
    if (line.has(option.names)) {
      return usage_error(concat(first_name(option.names), ": not supported by this device model; remove it"));
    }
  }
  if (line.unknown().empty()) return {};
  std::vector<std::string_view> known;
  for (const CommandOption& option : command_options()) {
    for (const std::string_view name : split_at(option.names, ',')) {
      if (name.starts_with("--")) known.push_back(name);
    }
  }
  return unknown_option(line.unknown().front(), "acrn-dm --help all lists the known ones", known);
}

Error not_accepted(const CommandOption& option, const std::string& value) {
  const std::string_view shown = value.empty() ? std::string_view("''") : value;
  return usage_error(concat(first_name(option.names), " ", shown, ": not ", option.kind, "; give ", option.expects));
}

Result<void> accept_values(const SplitCommandLine& line, DmConfig& config) {
  for (const CommandOption& option : command_options()) {
    if (option.accept == nullptr) continue;
    for (const std::string& value : line.values(option.names)) {
      if (!option.accept(config, value)) return not_accepted(option, value);
    }
  }
  return {};
}

Result<std::string> vm_name(const SplitCommandLine& line) {
  const Arguments& names = line.vm_names();
  if (names.empty()) {
    return usage_error(concat("the VM name is missing; give it last, like acrn-dm ",
                              line.has("--serve") ? "--serve vhost-user=. -s 9,virtio-blk,disk.img" : "-m 512M",
                              " vm1"));
  }
  if (names.size() > 1) {
    return usage_error(
        concat("two VM names, '", names[0], "' and '", names[1], "'; give one, and quote values that contain spaces"));
  }
  const std::string& name = names.front();
  const bool printable =
      std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c <= 0x7e && c != '/'; });
  if (name.empty() || name.size() > kMaxVmName || !printable || name == "." || name == "..") {
    return usage_error(concat("'", name, "': not a VM name; give 1 to ", kMaxVmName,
                              " printable ASCII characters without '/', like vm1"));
  }
  return name;
}

// Adds the host bridge if no slot is one, and the table has it; firmware has its own.
Result<void> add_host_bridge(DeviceTable devices, bool firmware, std::vector<PciSlotConfig>& slots) {
  const PciAddress origin;
  const DeviceRow* const bridge = find_row(devices, firmware ? kFirmwareHostBridge : kHostBridge);
  if (bridge == nullptr) return {};
  bool has_bridge = false;
  for (PciSlotConfig& slot : slots) {
    const bool is_bridge = slot.device->name == kHostBridge || slot.device->name == kFirmwareHostBridge;
    if (is_bridge && firmware) slot.device = bridge;
    has_bridge = has_bridge || is_bridge;
  }
  if (has_bridge) return {};
  for (const PciSlotConfig& slot : slots) {
    if (slot.address == origin) {
      return usage_error(concat("-s 0:0,", slot.device->name,
                                ": slot 0:0 is the host bridge's; choose another slot for ", describe(slot)));
    }
  }
  slots.insert(slots.begin(), PciSlotConfig{origin, bridge, NoOptions()});
  return {};
}

// The last one counts.
Result<void> accept_serve(const SplitCommandLine& line, ServerTable servers, DmConfig& config) {
  for (const std::string& value : line.values("--serve")) {
    const KeyValue parts = split_key(value);
    const ServerRow* const server = find_row(servers, parts.key);
    if (server == nullptr || parts.value.value_or("").empty()) return not_accepted(command_option("--serve"), value);
    config.serve = ServeConfig{.server = server, .folder = std::string(*parts.value)};
  }
  return {};
}

std::string text_of(const ServeConfig& serve) { return concat("--serve ", serve.server->name, "=", serve.folder); }

// With --serve the machine is the client's.
Result<void> check_serve(const SplitCommandLine& line, const DmConfig& config) {
  for (const std::string_view option : {"-m", "--cpus", "--cpu_affinity", "-k", "-E", "--ovmf", "-r", "-B", "-l",
                                        "--hypervisor", "--debugexit", "--stop_timeout"}) {
    if (line.has(option)) return usage_error(concat(option, ": --serve makes no machine; remove one of the two"));
  }
  bool any = false;
  for (const PciSlotConfig& slot : config.slots) {
    if (!slot.device->servable) continue;
    any = true;
    const std::string path = serve_socket(config, slot.address);
    if (path.size() > UnixAddress::kMostPath) {
      return usage_error(concat(text_of(*config.serve), ": ", path, " has ", path.size(),
                                " bytes, and a socket's path at most ", UnixAddress::kMostPath,
                                "; give a shorter folder"));
    }
  }
  if (any) return {};
  return usage_error(
      concat(text_of(*config.serve), ": there is nothing to serve; give a disk, like -s 9,virtio-blk,disk.img"));
}

Result<void> accept_slots(const SplitCommandLine& line, DeviceTable devices, DmConfig& config) {
  for (const std::string& value : line.values("-s")) {
    Result<PciSlotConfig> slot = parse_slot(value, devices);
    if (!slot) return slot.error();
    config.slots.push_back(std::move(slot).value());
  }
  const unsigned vcpus = config.serve ? kMaxQueues : config.vcpus;  // the client's are not known
  if (const auto checked = check_slots(config.slots, vcpus); !checked) return checked.error();
  if (!config.serve) return add_host_bridge(devices, config.firmware.has_value(), config.slots);
  adapt_to_server(config);
  return check_serve(line, config);
}

// The CPUs of --cpu_affinity are one for each vCPU: under ACRN there is no other way to say how many there
// are.
Result<void> check_affinity(const SplitCommandLine& line, DmConfig& config) {
  const size_t cpus = config.cpu_affinity.size();
  if (cpus == 0) return {};
  if (!line.has("--cpus")) config.vcpus = static_cast<unsigned>(cpus);
  if (cpus == config.vcpus) return {};
  return usage_error(concat("--cpu_affinity ", line.values("--cpu_affinity").back(), ": ", cpus, " host CPUs for ",
                            config.vcpus, " vCPUs; give one for each"));
}

Result<void> check_serial_ports(const DmConfig& config) {
  bool stdio_taken = false;
  for (const SerialPortConfig& port : config.serial_ports) {
    if (port.backend != "stdio") continue;
    if (stdio_taken) {
      return usage_error(concat("-l com", port.com,
                                ",stdio: stdio is already taken by another port; give a pty or a "
                                "path, like -l com",
                                port.com, ",/dev/pts/3"));
    }
    stdio_taken = true;
  }
  return {};
}

// A guest finds another bus behind a bridge alone, and the board has none. What is served has no board.
Result<void> check_buses(const DmConfig& config) {
  for (const PciSlotConfig& slot : config.slots) {
    if (config.serve || slot.address.bus == 0) continue;
    return usage_error(concat("-s ", short_name(slot.address), ",", slot.device->name, ": no bridge leads to bus ",
                              unsigned{slot.address.bus}, "; give a slot of bus 0, like ",
                              unsigned{slot.address.slot}));
  }
  return {};
}

Result<DmConfig> make_config(const SplitCommandLine& line, const CommandLineTables& tables) {
  DmConfig config;
  if (const auto checked = check_options(line); !checked) return checked.error();
  const Result<std::string> name = vm_name(line);
  if (!name) return name.error();
  config.vm_name = name.value();
  config.uuid = uuid_of_name(config.vm_name);
  if (const auto accepted = accept_values(line, config); !accepted) return accepted.error();
  if (const auto accepted = accept_serve(line, tables.servers, config); !accepted) return accepted.error();
  if (const auto checked = check_affinity(line, config); !checked) return checked.error();
  if (const auto checked = check_serial_ports(config); !checked) return checked.error();
  if (const auto accepted = accept_slots(line, tables.devices, config); !accepted) return accepted.error();
  if (const auto checked = check_buses(config); !checked) return checked.error();
  return config;
}

// Guests skip a slot whose function 0 is absent (PCI 3.0 3.2.2.3.4).
void warn_of_hidden_functions(const std::vector<PciSlotConfig>& slots, std::vector<std::string>& warnings) {
  std::set<std::string> taken;
  for (const PciSlotConfig& slot : slots) taken.insert(full_name(slot.address));
  for (const PciSlotConfig& slot : slots) {
    const PciAddress first{slot.address.bus, slot.address.slot, 0};
    if (taken.contains(full_name(first))) continue;
    warnings.push_back(concat("-s ", short_name(slot.address), ",", slot.device->name,
                              ": guests will not find it, since ", short_name(first), " is empty"));
  }
}

void warn_of_bridges(const std::vector<PciSlotConfig>& slots, std::vector<std::string>& warnings) {
  for (const PciSlotConfig& slot : slots) {
    if (slot.device->servable) continue;
    warnings.push_back(concat("-s ", short_name(slot.address), ",", slot.device->name,
                              ": not served, since the client has its own; remove it"));
  }
}

std::vector<std::string> warnings_of(const SplitCommandLine& line, const Result<DmConfig>& config) {
  std::vector<std::string> warnings;
  for (const ForeignOption& option : obsolete_options()) {
    if (line.has(option.names)) {
      warnings.push_back(concat(first_name(option.names), ": obsolete and ignored; remove it"));
    }
  }
  if (!config) return warnings;
  if (config.value().serve) {
    warn_of_bridges(config.value().slots, warnings);
  } else {
    warn_of_hidden_functions(config.value().slots, warnings);
  }
  return warnings;
}

// The word behind --help is a topic; if it is none, and the command line goes on or has begun before, it is a VM's
// name.
Result<Printout> help(const Arguments& arguments) {
  const auto flag = std::find_if(arguments.begin(), arguments.end(),
                                 [](const std::string& word) { return word == "-h" || word == "--help"; });
  const bool has_topic = flag != arguments.end() && flag + 1 != arguments.end() && !flag[1].starts_with('-');
  const std::string_view topic = has_topic ? std::string_view(flag[1]) : std::string_view();
  if (const auto text = help_text(topic)) return Printout{*text};
  if (arguments.size() > 2) return Printout{*help_text()};
  std::vector<std::string_view> known;
  for (const HelpTopic& each : help_topics()) known.push_back(each.name);
  return usage_error(concat("--help: ", unknown_word(topic, "a topic", known).message));
}

}  // namespace

void adapt_to_server(DmConfig& config) {
  for (PciSlotConfig& slot : config.slots) {
    auto* const disk = std::get_if<BlockOptions>(&slot.options);
    const ServerRow& row = *config.serve->server;
    if (disk == nullptr || row.usual_queue_size == 0) continue;
    disk->segments = std::max(disk->queue_size, row.usual_queue_size) - 2;
    disk->queue_size = std::max(disk->queue_size, row.least_queue_size);
  }
}

SandboxMode sandbox_mode(const DmConfig& config) {
  if (config.sandbox) return *config.sandbox;
  if (!kCanBeConfined) return SandboxMode::kOff;
  if (config.serve) return SandboxMode::kOn;
  return chosen_hypervisor({.kind = config.hypervisor}) == HypervisorKind::kKvm ? SandboxMode::kOn : SandboxMode::kOff;
}

std::string serve_socket(const DmConfig& config, const PciAddress& address) {
  if (!config.serve->socket.empty()) return config.serve->socket;
  const std::string bus = address.bus == 0 ? "" : concat(unsigned{address.bus}, ".");
  return concat(config.serve->folder, "/", config.vm_name, ".", bus, unsigned{address.slot}, ".",
                unsigned{address.function}, ".sock");
}

ParseOutcome parse_command_line(const std::vector<std::string>& arguments, const CommandLineTables& tables) {
  SplitCommandLine line;
  if (const auto split = line.split(arguments); !split) return {split.error(), {}};
  if (line.has("-h")) {
    const auto text = help(arguments);
    return text ? ParseOutcome{text.value(), {}} : ParseOutcome{text.error(), {}};
  }
  if (line.has("-v")) return {Printout{"acrn-dm " ACRN_DM_VERSION "\n"}, {}};
  Result<DmConfig> config = make_config(line, tables);
  std::vector<std::string> warnings = warnings_of(line, config);
  if (!config) return {config.error(), std::move(warnings)};
  return {std::move(config).value(), std::move(warnings)};
}

}  // namespace acrn
