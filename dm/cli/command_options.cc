#include "dm/cli/command_options.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "acrn/base/check.h"
#include "dm/cli/option_table.h"
#include "dm/socket/unix_address.h"

namespace acrn {
namespace {

using Text = std::string_view;

constexpr uint64_t kMemoryUnit = uint64_t{2} << 20;  // RAM is mapped in 2 MiB pages
constexpr uint64_t kMaxMemory = uint64_t{1} << 46;   // 64 TiB: more does not fit a process
constexpr size_t kMaxBootargs = 2047;
constexpr uint64_t kMaxPollNanoseconds = 10'000'000;

bool accept_memory(DmConfig& config, Text value) {
  const auto bytes = parse_size(value, uint64_t{1} << 20);
  if (!bytes || *bytes == 0 || *bytes > kMaxMemory) return false;
  config.memory = (*bytes + kMemoryUnit - 1) / kMemoryUnit * kMemoryUnit;
  return true;
}

template <std::optional<std::string> DmConfig::*member>
bool accept_path(DmConfig& config, Text value) {
  if (value.empty()) return false;
  config.*member = std::string(value);
  return true;
}

bool accept_bootargs(DmConfig& config, Text value) {
  if (value.size() > kMaxBootargs) return false;
  config.bootargs = std::string(value);
  return true;
}

bool accept_serial_port(DmConfig& config, Text value) {
  const std::vector<std::string> fields = split_fields(value);
  if (fields.size() != 2 || fields[1].empty() || !fields[0].starts_with("com")) return false;
  const auto com = parse_number(Text(fields[0]).substr(3), 1, 4);
  if (!com || fields[0].size() != 4) return false;
  std::erase_if(config.serial_ports, [&](const SerialPortConfig& port) { return port.com == *com; });
  config.serial_ports.push_back({static_cast<unsigned>(*com), fields[1]});
  return true;
}

bool accept_uuid(DmConfig& config, Text value) {
  const auto uuid = parse_uuid(value);
  if (uuid) config.uuid = *uuid;
  config.uuid_given = uuid.has_value();
  return uuid.has_value();
}

bool accept_vcpus(DmConfig& config, Text value) {
  const auto vcpus = parse_number(value, 1, kMaxVcpus);
  if (vcpus) config.vcpus = static_cast<unsigned>(*vcpus);
  return vcpus.has_value();
}

bool accept_affinity(DmConfig& config, Text value) {
  auto cpus = parse_cpus(value, ',');
  if (!cpus || cpus->size() > kMaxVcpus) return false;
  config.cpu_affinity = *std::move(cpus);
  return true;
}

bool accept_hypervisor(DmConfig& config, Text value) {
  config.hypervisor = choice_of(kHypervisorWords, value);
  return config.hypervisor.has_value();
}

bool accept_poll(DmConfig& config, Text value) {
  const auto nanoseconds = parse_number(value, 1, kMaxPollNanoseconds);
  if (nanoseconds) config.virtio_poll = static_cast<uint32_t>(*nanoseconds);
  return nanoseconds.has_value();
}

bool accept_monitor(DmConfig& config, Text value) {
  return value.size() <= UnixAddress::kMostPath && accept_path<&DmConfig::cmd_monitor>(config, value);
}

bool accept_metrics(DmConfig& config, Text value) {
  config.metrics = parse_listening_place(value);
  if (!config.metrics) return false;
  const auto* const path = std::get_if<std::string>(&*config.metrics);
  return path == nullptr || path->size() <= UnixAddress::kMostPath;
}

bool accept_sandbox(DmConfig& config, Text value) {
  config.sandbox = choice_of(kSandboxWords, value);
  return config.sandbox.has_value();
}

bool accept_sandbox_path(DmConfig& config, Text value) {
  config.sandbox_paths.emplace_back(value);
  return !value.empty();
}

std::optional<int>* channel_level(LoggerSetting& setting, Text channel) {
  if (channel == "console") return &setting.console;
  if (channel == "disk") return &setting.disk;
  return channel == "kmsg" ? &setting.kmsg : nullptr;
}

// "console,level=4;disk,level=4"
bool accept_logger(DmConfig& config, Text value) {
  constexpr Text kLevel = "level=";
  for (const Text part : split_at(value, ';')) {
    const auto words = split_at(part, ',');
    std::optional<int>* const level = channel_level(config.logger, words[0]);
    if (level == nullptr || words.size() != 2 || !words[1].starts_with(kLevel)) return false;
    const auto number = parse_number(words[1].substr(kLevel.size()), 1, INT_MAX);
    if (!number) return false;
    *level = static_cast<int>(std::min<uint64_t>(*number, 5));  // ACRN's scripts have 6, too
  }
  return true;
}

template <bool DmConfig::*member>
bool accept_flag(DmConfig& config, Text) {
  return config.*member = true;
}

bool accept_stop_timeout(DmConfig& config, Text value) {
  constexpr uint64_t kMost = 86400;
  const auto seconds = parse_number(value, 0, kMost);
  if (seconds) config.stop_timeout = static_cast<unsigned>(*seconds);
  return seconds.has_value();
}

constexpr CommandOption kOptions[] = {
    {.names = "-s,--pci_slot",
     .argument = "<slot>,<emulation>[,<config>]",
     .help = "a PCI function; give -s once for each",
     .example = "-s 9,virtio-blk,disk.img,writeback",
     .accept = nullptr,
     .kind = "",
     .expects = "a PCI function, like -s 9,virtio-blk,disk.img",
     .manual = "A PCI function; may be given more than once. The slot is bus:slot:func or slot[:func], decimal, "
               "separated by ':', '/' or '.'. A missing host bridge is added at 0:0.",
     .words = kSlotWord},
    {.names = "-m,--memsize",
     .argument = "<size>",
     .help = "guest RAM, in MiB without a letter; default 256M, rounded up to 2 MiB",
     .example = "-m 512M",
     .accept = accept_memory,
     .kind = "a memory size",
     .expects = "a number with K, M or G, like 512M",
     .manual =
         "Guest RAM, a number with K, M or G, or of MiB without a letter, rounded up to 2 MiB. The default is 256M.",
     .words = "256M 512M 1G 2G"},
    {.names = "-k,--kernel",
     .argument = "<file>",
     .help = "the kernel to boot: a bzImage, or an ELF file as with -E",
     .example = "-k /boot/vmlinuz",
     .accept = accept_path<&DmConfig::kernel>,
     .kind = "a path",
     .expects = "the path of a kernel, like -k /boot/vmlinuz",
     .words = kPathWord},
    {.names = "-E,--elf_file",
     .argument = "<file>",
     .help = "the kernel to boot: an ELF file with a PVH note or a Multiboot header",
     .example = "-E zephyr.elf",
     .accept = accept_path<&DmConfig::elf_file>,
     .kind = "a path",
     .expects = "the path of an ELF file, like -E zephyr.elf",
     .words = kPathWord},
    {.names = "--ovmf",
     .argument = "<file>",
     .help = "firmware that boots the guest from its disks: an ELF file with a PVH note, as CLOUDHV.fd",
     .example = "--ovmf CLOUDHV.fd",
     .accept = accept_path<&DmConfig::firmware>,
     .kind = "a path",
     .expects = "the path of firmware, like --ovmf CLOUDHV.fd",
     .words = kPathWord},
    {.names = "-r,--ramdisk",
     .argument = "<file>",
     .help = "the initial RAM disk of the kernel",
     .example = "-r initrd.img",
     .accept = accept_path<&DmConfig::ramdisk>,
     .kind = "a path",
     .expects = "the path of an initial RAM disk, like -r initrd.img",
     .words = kPathWord},
    {.names = "-B,--bootargs",
     .argument = "<text>",
     .help = "the kernel's command line, up to 2047 bytes",
     .example = "-B \"console=ttyS0 root=/dev/vda\"",
     .accept = accept_bootargs,
     .kind = "a kernel command line",
     .expects = "at most 2047 bytes, like -B \"console=ttyS0\""},
    {.names = "-l,--lpc",
     .argument = "<com1..com4>,<backend>",
     .help = "a serial port: stdio, a pty or a path",
     .example = "-l com1,stdio",
     .accept = accept_serial_port,
     .kind = "a serial port",
     .expects = "com1 to com4 and stdio, a pty or a path, like -l com1,stdio",
     .manual = "A serial port, com1 to com4, behind stdio, a pty or a path.",
     .words = "com1,stdio com2, com3, com4,"},
    {.names = "-U,--uuid",
     .argument = "<uuid>",
     .help = "the VM's UUID; default: made from the VM name",
     .example = "-U 615db82a-e189-4b4f-8dbb-d321343e4ab3",
     .accept = accept_uuid,
     .kind = "a UUID",
     .expects = "36 characters, like 615db82a-e189-4b4f-8dbb-d321343e4ab3",
     .manual =
         "The VM's UUID; by default made from its name. ACRN before version 3 finds the VM's configuration by it, "
         "later ones by the name, if -U is not given."},
    {.names = "--cpus",
     .argument = "<n>",
     .help = "vCPUs, 1 to 16; default 1, or as many as --cpu_affinity names",
     .example = "--cpus 2",
     .accept = accept_vcpus,
     .kind = "a number of vCPUs",
     .expects = "1 to 16, like --cpus 2",
     .manual = "The number of vCPUs, 1 to 16. The default is 1, or as many as --cpu_affinity names."},
    {.names = "--cpu_affinity",
     .argument = "<list>",
     .help = "the host CPU of each vCPU",
     .example = "--cpu_affinity 0,2-3",
     .accept = accept_affinity,
     .kind = "a list of host CPUs",
     .expects = "up to 16 different numbers below 1024, like --cpu_affinity 0,2-3",
     .manual = "The host CPU of each vCPU, like 0,2-3; under ACRN their local APIC IDs."},
    {.names = "--hypervisor",
     .argument = "acrn|kvm",
     .help = "default: acrn if /dev/acrn_hsm exists, else kvm",
     .example = "--hypervisor kvm",
     .accept = accept_hypervisor,
     .kind = "a hypervisor",
     .expects = "acrn or kvm, like --hypervisor kvm",
     .manual = "The default is ACRN if /dev/acrn_hsm exists, else KVM.",
     .words = "acrn kvm"},
    {.names = "-W,--virtio_msi",
     .argument = "",
     .help = "one MSI vector and no MSI-X for virtio devices",
     .example = "-W",
     .accept = accept_flag<&DmConfig::virtio_msi>},
    {.names = "--virtio_poll",
     .argument = "<ns>",
     .help = "poll the virtqueues by a timer instead of waiting for kicks",
     .example = "--virtio_poll 1000000",
     .accept = accept_poll,
     .kind = "a polling interval",
     .expects = "nanoseconds from 1 to 10000000, like --virtio_poll 1000000",
     .manual =
         "Look at the queues by a timer, every 1 to 10000000 nanoseconds, instead of waiting for kicks; drivers are "
         "told not to kick."},
    {.names = "--windows",
     .argument = "",
     .help = "Oracle's subsystem vendor 0x108e, for Windows drivers",
     .example = "--windows",
     .accept = accept_flag<&DmConfig::windows>},
    {.names = "--debugexit",
     .argument = "",
     .help = "a guest's write of v to port 0xf4 ends the VM with status (v << 1) | 1",
     .example = "--debugexit",
     .accept = accept_flag<&DmConfig::debug_exit>},
    {.names = "--stop_timeout",
     .argument = "<seconds>",
     .help = "how long a guest may take to power off when the VM is to end; default 0: it is not asked",
     .example = "--stop_timeout 60",
     .accept = accept_stop_timeout,
     .kind = "a time",
     .expects = "seconds, 0 to 86400, like --stop_timeout 60",
     .manual = "How long a guest may take to power off when SIGTERM or the control socket's stop end the VM: its power "
               "button is pressed first. The default is 0: it is not asked. A second stop does not wait."},
    {.names = "--cmd_monitor",
     .argument = "<socket>",
     .help = "the control socket",
     .example = "--cmd_monitor /run/acrn/vm1.sock",
     .accept = accept_monitor,
     .kind = "a socket path",
     .expects = "a path of 1 to 107 bytes, like --cmd_monitor /run/acrn/vm1.sock",
     .manual = "The JSON control socket, for its owner only.",
     .words = kPathWord},
    {.names = "--metrics",
     .argument = "<socket>|[127.0.0.1:]<port>|[::1]:<port>",
     .help = "counts and latencies for Prometheus, by HTTP, on a socket or a port of this host alone",
     .example = "--metrics 127.0.0.1:9110",
     .accept = accept_metrics,
     .kind = "a place for metrics",
     .expects = "the path of a socket, or a port of 127.0.0.1 or [::1], like --metrics 127.0.0.1:9110",
     .manual = "Counts and latencies as OpenMetrics text at /metrics, by HTTP: on a UNIX socket for its owner only, or "
               "on a TCP port of the loopback address, which every user of this host reaches and no other host.",
     .words = kPathWord},
    {.names = "--serve",
     .argument = "vfio-user|vhost-user|nbd=<dir>",
     .help = "no machine: each disk for another VMM or an NBD client, at <dir>/<vmname>.<slot>.<function>.sock",
     .example = "--serve vhost-user=/run/acrn",
     .accept = nullptr,
     .kind = "a way to serve",
     .expects = "vfio-user=<dir>, vhost-user=<dir> or nbd=<dir>, like --serve vhost-user=/run/acrn",
     .manual = "Make no machine: serve each disk on a UNIX socket, <dir>/<vmname>.<slot>.<function>.sock, for another "
               "VMM to plug in, or for NBD clients, until SIGTERM. The options of a machine are errors with it.",
     .words = kServerWord},
    {.names = "--sandbox",
     .argument = "on|log|off",
     .help = "confine the process once all is open; default: on with --serve and under KVM",
     .example = "--sandbox log",
     .accept = accept_sandbox,
     .kind = "a way to confine the process",
     .expects = "on, log or off, like --sandbox log",
     .manual =
         "Once everything is open, give up capabilities, files and system calls that are not needed: on with --serve "
         "and under KVM. With log a system call that is not allowed is carried out, and the kernel's log has a line "
         "of it.",
     .words = "on log off"},
    {.names = "--sandbox-path",
     .argument = "<path>",
     .help = "a folder or file that blkrescan may open all the same; give it once for each",
     .example = "--sandbox-path /var/lib/images",
     .accept = accept_sandbox_path,
     .kind = "a path",
     .expects = "a folder or a file, like --sandbox-path /var/lib/images",
     .manual =
         "A folder, or a file, that may be opened once the process is confined, which is for blkrescan; may be given "
         "more than once.",
     .words = kPathWord},
    {.names = "--user",
     .argument = "<name>",
     .help = "who the process becomes once all is open",
     .example = "--user nobody",
     .accept = accept_path<&DmConfig::user>,
     .kind = "a user",
     .expects = "a user of this host, like --user nobody",
     .manual = "The user that the process becomes once everything is open, which only root can. The sockets are that "
               "user's."},
    {.names = "--logger_setting",
     .argument = "<channel>,level=<n>[;...]",
     .help = "levels 1 (error) to 5 (debug) of console, disk (/var/log/acrn-dm/<vmname>.log) and kmsg; default: "
             "console 3",
     .example = "--logger_setting \"console,level=4;kmsg,level=3\"",
     .accept = accept_logger,
     .kind = "a logger setting",
     .expects = "console, disk or kmsg with level=1 to 5, like \"console,level=4;disk,level=5\"",
     .manual = "Log levels, 1 (error) to 5 (debug), of the channels console (standard error, level 3 by default), disk "
               "(/var/log/acrn-dm/<vmname>.log, off by default) and kmsg (the kernel's log, off by default).",
     .words = "console,level= disk,level= kmsg,level="},
    {.names = "--dry_run",
     .argument = "",
     .help = "open nothing for writing, print the resolved configuration as JSON and exit",
     .example = "--dry_run",
     .accept = accept_flag<&DmConfig::dry_run>,
     .manual = "Check everything, open nothing for writing, print the resolved configuration as JSON and exit."},
    {.names = "-h,--help",
     .argument = "",
     .help = "the topics of help, or the options of one behind it: --help disks; --help all has everything",
     .example = "--help disks",
     .accept = [](DmConfig&, Text) { return true; },
     .manual = "Print the topics of help, or the options of one: --help disks. The topic all has everything.",
     .words = kTopicWord},
    {.names = "-v,--version",
     .argument = "",
     .help = "the version",
     .example = "-v",
     .accept = [](DmConfig&, Text) { return true; },
     .manual = "Print the version."},
};

constexpr ForeignOption kObsolete[] = {
    {"-A,--acpi", false},    {"-Y,--mptgen", false}, {"-G,--gvtargs", true}, {"-i,--ioc_node", true},
    {"--vsbl", true},        {"--part_info", true},  {"--mac_seed", true},   {"--pm_notify_channel", true},
    {"--pm_by_vuart", true},
};

constexpr ForeignOption kUnsupported[] = {
    {"--iasl", true},       {"--enable_trusty", false}, {"--intr_monitor", true}, {"--acpidev_pt", true},
    {"--mmiodev_pt", true}, {"--vtpm2", true},          {"--lapic_pt", false},    {"--rtvm", false},
    {"--ssram", false},     {"--psram", false},         {"-c,--ncpus", true},
};

}  // namespace

std::span<const CommandOption> command_options() { return kOptions; }
const CommandOption& command_option(std::string_view name) {
  const auto option = std::find_if(std::begin(kOptions), std::end(kOptions),
                                   [&](const CommandOption& each) { return first_name(each.names) == name; });
  ACRN_CHECK(option != std::end(kOptions));
  return *option;
}
std::span<const ForeignOption> obsolete_options() { return kObsolete; }
std::span<const ForeignOption> unsupported_options() { return kUnsupported; }

std::string_view first_name(std::string_view names) { return names.substr(0, names.find(',')); }

}  // namespace acrn
