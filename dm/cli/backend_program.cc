#include "dm/cli/backend_program.h"

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/cli/option_table.h"
#include "dm/devices/block_device_options.h"

namespace acrn {
namespace {

constexpr std::string_view kName = "vhost-user-blk", kServer = "vhost-user";

constexpr std::string_view kHelp =
    "vhost-user-blk: a disk for a VMM, over vhost-user\n"
    "  --socket-path=<path>    listen there\n"
    "  --fd=<n>                serve on this descriptor: a socket that listens, or one\n"
    "                          whose peer is the VMM; ends when that leaves\n"
    "  --blk-file=<path>       the disk: a path as in -s of acrn-dm, without options\n"
    "  --format=<format>       of the file: raw (default), qcow2 or another of acrn-dm's\n"
    "  --read-only             do not write to it\n"
    "  --num-queues=<n>        queues that the VMM may use (default 16)\n"
    "  --sandbox=<mode>        on, log or off, as of acrn-dm (default on)\n"
    "  --print-capabilities    print them as JSON\n"
    "  -h, --help  -v, --version\n"
    "A write is complete in the page cache, and stable after the guest's flush.\n"
    "See acrn-dm(8).\n";

constexpr std::string_view kCapabilities = R"({"type": "block", "features": ["read-only", "blk-file"]})"
                                           "\n";

struct Wanted {
  std::optional<std::string> socket_path, fd, file, format, queues, sandbox;
  bool read_only = false, capabilities = false, help = false, version = false;
};

Result<Wanted> split(const std::vector<std::string>& arguments) {
  using Text = std::optional<std::string> Wanted::*;
  using Flag = bool Wanted::*;
  constexpr std::array<std::pair<std::string_view, Text>, 6> kTexts{{{"--socket-path", &Wanted::socket_path},
                                                                     {"--fd", &Wanted::fd},
                                                                     {"--blk-file", &Wanted::file},
                                                                     {"--format", &Wanted::format},
                                                                     {"--num-queues", &Wanted::queues},
                                                                     {"--sandbox", &Wanted::sandbox}}};
  constexpr std::array<std::pair<std::string_view, Flag>, 6> kFlags{{{"--read-only", &Wanted::read_only},
                                                                     {"--print-capabilities", &Wanted::capabilities},
                                                                     {"--help", &Wanted::help},
                                                                     {"-h", &Wanted::help},
                                                                     {"--version", &Wanted::version},
                                                                     {"-v", &Wanted::version}}};
  Wanted wanted;
  for (size_t i = 0; i < arguments.size(); i++) {
    const std::string& argument = arguments[i];
    const size_t equals = argument.find('=');
    const std::string_view key = std::string_view(argument).substr(0, equals);
    if (const auto flag = choice_of(kFlags, argument)) {
      wanted.** flag = true;
    } else if (const auto text = choice_of(kTexts, key)) {
      const bool has_value = equals != std::string::npos || i + 1 < arguments.size();
      std::string value = equals != std::string::npos ? argument.substr(equals + 1) : has_value ? arguments[++i] : "";
      if (value.empty())
        return usage_error(concat(key, ": the value is missing; vhost-user-blk --help has an example"));
      wanted.** text = std::move(value);
    } else {
      return usage_error(concat(argument, ": not an option of vhost-user-blk; --help shows them"));
    }
  }
  return wanted;
}

// A comma of a path is written twice in -s.
std::string escaped(std::string_view path) {
  std::string text;
  for (const char c : path) text += c == ',' ? ",," : std::string(1, c);
  return text;
}

Result<DmConfig> make_config(const Wanted& wanted) {
  if (wanted.socket_path.has_value() == wanted.fd.has_value()) {
    return usage_error("give one of --socket-path=<path> and --fd=<n>");
  }
  if (!wanted.file) return usage_error("--blk-file is missing; give a disk, like --blk-file=disk.img");
  const auto queues = parse_number(wanted.queues.value_or("16"), 1, kMaxQueues);
  if (!queues) return usage_error(concat("--num-queues=", *wanted.queues, ": give a number from 1 to ", kMaxQueues));
  DmConfig config;
  if (wanted.sandbox) config.sandbox = choice_of(kSandboxWords, *wanted.sandbox);
  if (wanted.sandbox && !config.sandbox) {
    return usage_error(concat("--sandbox=", *wanted.sandbox, ": give on, log or off"));
  }
  config.vm_name = kName;
  config.serve.emplace();
  const ServerTable servers = server_table();
  config.serve->server =
      &*std::find_if(servers.begin(), servers.end(), [](const auto& row) { return row.name == kServer; });
  if (wanted.fd) {
    const auto fd = parse_number(*wanted.fd, 0, INT_MAX);
    if (!fd) return usage_error(concat("--fd=", *wanted.fd, ": give the number of a descriptor, like --fd=3"));
    config.serve->fd = static_cast<int>(*fd);
  }
  config.serve->socket = wanted.socket_path.value_or(concat("fd:", wanted.fd.value_or("")));
  auto slot = parse_slot(concat("1,virtio-blk,mq=", *queues, ",", escaped(*wanted.file), ",writeback",
                                wanted.read_only ? ",ro" : "",
                                wanted.format ? concat(",format=", escaped(*wanted.format)) : ""));
  if (!slot) return slot.error();
  config.slots.push_back(std::move(slot).value());
  adapt_to_server(config);
  return config;
}

}  // namespace

bool is_backend_program(std::string_view program) { return program.substr(program.rfind('/') + 1) == kName; }

ParseOutcome parse_backend_command_line(const std::vector<std::string>& arguments) {
  const auto wanted = split(arguments);
  if (!wanted) return {wanted.error(), {}};
  if (wanted.value().capabilities) return {Printout{std::string(kCapabilities)}, {}};
  if (wanted.value().help) return {Printout{std::string(kHelp)}, {}};
  if (wanted.value().version) return {Printout{"vhost-user-blk " ACRN_DM_VERSION "\n"}, {}};
  auto config = make_config(wanted.value());
  if (!config) return {config.error(), {}};
  return {std::move(config).value(), {}};
}

}  // namespace acrn
