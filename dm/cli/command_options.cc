#include "dm/cli/command_options.h"

#include <algorithm>
#include <utility>

#include "acrn/base/check.h"
#include "dm/cli/option_table.h"

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
  if (value != "acrn" && value != "kvm") return false;
  config.hypervisor = value == "acrn" ? HypervisorKind::kAcrn : HypervisorKind::kKvm;
  return true;
}

bool accept_poll(DmConfig& config, Text value) {
  const auto nanoseconds = parse_number(value, 1, kMaxPollNanoseconds);
  if (nanoseconds) config.virtio_poll = static_cast<uint32_t>(*nanoseconds);
  return nanoseconds.has_value();
}

bool accept_monitor(DmConfig& config, Text value) {
  return value.size() <= kMaxSocketPath && accept_path<&DmConfig::cmd_monitor>(config, value);
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
    const auto number = parse_number(words[1].substr(kLevel.size()), 1, 5);
    if (!number) return false;
    *level = static_cast<int>(*number);
  }
  return true;
}

template <bool DmConfig::*member>
bool accept_flag(DmConfig& config, Text) {
  return config.*member = true;
}

constexpr CommandOption kOptions[] = {
    {"-s,--pci_slot", "<slot>,<emulation>[,<config>]", "a PCI function; give -s once for each",
     "-s 9,virtio-blk,disk.img,writeback", nullptr, "", "a PCI function, like -s 9,virtio-blk,disk.img"},
    {"-m,--memsize", "<size>", "guest RAM, in MiB without a letter; default 256M, rounded up to 2 MiB", "-m 512M",
     accept_memory, "a memory size", "a number with K, M or G, like 512M"},
    {"-k,--kernel", "<bzImage>", "the Linux kernel to boot", "-k /boot/vmlinuz", accept_path<&DmConfig::kernel>,
     "a path", "the path of a bzImage, like -k /boot/vmlinuz"},
    {"-r,--ramdisk", "<file>", "the initial RAM disk of the kernel", "-r initrd.img", accept_path<&DmConfig::ramdisk>,
     "a path", "the path of an initial RAM disk, like -r initrd.img"},
    {"-B,--bootargs", "<text>", "the kernel's command line, up to 2047 bytes", "-B \"console=ttyS0 root=/dev/vda\"",
     accept_bootargs, "a kernel command line", "at most 2047 bytes, like -B \"console=ttyS0\""},
    {"-l,--lpc", "<com1..com4>,<backend>", "a serial port: stdio, a pty or a path", "-l com1,stdio", accept_serial_port,
     "a serial port", "com1 to com4 and stdio, a pty or a path, like -l com1,stdio"},
    {"-U,--uuid", "<uuid>", "the VM's UUID; default: made from the VM name", "-U 615db82a-e189-4b4f-8dbb-d321343e4ab3",
     accept_uuid, "a UUID", "36 characters, like 615db82a-e189-4b4f-8dbb-d321343e4ab3"},
    {"--cpus", "<n>", "vCPUs, 1 to 16; default 1, or as many as --cpu_affinity names", "--cpus 2", accept_vcpus,
     "a number of vCPUs", "1 to 16, like --cpus 2"},
    {"--cpu_affinity", "<list>", "the host CPU of each vCPU", "--cpu_affinity 0,2-3", accept_affinity,
     "a list of host CPUs", "up to 16 different numbers below 1024, like --cpu_affinity 0,2-3"},
    {"--hypervisor", "acrn|kvm", "default: acrn if /dev/acrn_hsm exists, else kvm", "--hypervisor kvm",
     accept_hypervisor, "a hypervisor", "acrn or kvm, like --hypervisor kvm"},
    {"-W,--virtio_msi", "", "one MSI vector and no MSI-X for virtio devices", "-W", accept_flag<&DmConfig::virtio_msi>,
     "", ""},
    {"--virtio_poll", "<ns>", "poll the virtqueues by a timer instead of waiting for kicks", "--virtio_poll 1000000",
     accept_poll, "a polling interval", "nanoseconds from 1 to 10000000, like --virtio_poll 1000000"},
    {"--windows", "", "Oracle's subsystem vendor 0x108e, for Windows drivers", "--windows",
     accept_flag<&DmConfig::windows>, "", ""},
    {"--debugexit", "", "a guest's write of v to port 0xf4 ends the VM with status (v << 1) | 1", "--debugexit",
     accept_flag<&DmConfig::debug_exit>, "", ""},
    {"--cmd_monitor", "<socket>", "the control socket", "--cmd_monitor /run/acrn/vm1.sock", accept_monitor,
     "a socket path", "a path of 1 to 107 bytes, like --cmd_monitor /run/acrn/vm1.sock"},
    {"--serve", "vfio-user=<dir>",
     "no machine: each disk for another VMM to plug in, at <dir>/<vmname>.<slot>.<function>.sock",
     "--serve vfio-user=/run/acrn", nullptr, "a way to serve", "vfio-user=<dir>, like --serve vfio-user=/run/acrn"},
    {"--logger_setting", "<channel>,level=<n>[;...]",
     "levels 1 (error) to 5 (debug) of console, disk (/var/log/acrn-dm/<vmname>.log) and kmsg; default: "
     "console 3",
     "--logger_setting \"console,level=4;kmsg,level=3\"", accept_logger, "a logger setting",
     "console, disk or kmsg with level=1 to 5, like \"console,level=4;disk,level=5\""},
    {"--dry_run", "", "open nothing for writing, print the resolved configuration as JSON and exit", "--dry_run",
     accept_flag<&DmConfig::dry_run>, "", ""},
    {"-h,--help", "", "this text", "-h", [](DmConfig&, Text) { return true; }, "", ""},
    {"-v,--version", "", "the version", "-v", [](DmConfig&, Text) { return true; }, "", ""},
};

constexpr ForeignOption kObsolete[] = {
    {"-A,--acpi", false},    {"-Y,--mptgen", false}, {"-G,--gvtargs", true}, {"-i,--ioc_node", true},
    {"--vsbl", true},        {"--part_info", true},  {"--mac_seed", true},   {"--pm_notify_channel", true},
    {"--pm_by_vuart", true},
};

constexpr ForeignOption kUnsupported[] = {
    {"-E,--elf_file", true},  {"--ovmf", true},       {"--iasl", true},       {"--enable_trusty", false},
    {"--intr_monitor", true}, {"--acpidev_pt", true}, {"--mmiodev_pt", true}, {"--vtpm2", true},
    {"--lapic_pt", false},    {"--rtvm", false},      {"--ssram", false},     {"--psram", false},
    {"-c,--ncpus", true},
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
