// The command line as a value. Pure: nothing is printed, opened or ended here; main() does that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "acrn/base/result.h"
#include "dm/base/log_setup.h"
#include "dm/devices/device_table.h"
#include "dm/devices/slot.h"
#include "dm/hypervisor/factory.h"
#include "dm/ident/vm_uuid.h"
#include "dm/sandbox/sandbox_mode.h"
#include "dm/server/server_table.h"
#include "dm/socket/listening_place.h"

namespace acrn {

inline constexpr unsigned kMaxVcpus = 16;  // ACRN's request page has one slot per vCPU, and 16 slots

struct SerialPortConfig {
  unsigned com = 1;     // 1..4
  std::string backend;  // "stdio", a pty or a path
};

// --serve <server>=<folder>
struct ServeConfig {
  const ServerRow* server = nullptr;  // never null
  std::string folder;                 // where the sockets of the disks are
  // Of the back-end program, for its one disk: the socket's place, and the descriptor that listens there already.
  std::string socket = {};
  std::optional<int> fd = {};
};

struct DmConfig {
  std::string vm_name;
  VmUuid uuid;
  bool uuid_given = false;                // else it is made from the name
  uint64_t memory = uint64_t{256} << 20;  // bytes, a multiple of 2 MiB
  unsigned vcpus = 1;
  std::vector<unsigned> cpu_affinity;                              // host CPU of the n-th vCPU; empty: not pinned
  std::optional<std::string> kernel, elf_file, firmware, ramdisk;  // of the first three at most one
  std::string bootargs;
  std::vector<PciSlotConfig> slots;  // with the host bridge
  std::vector<SerialPortConfig> serial_ports;
  std::optional<HypervisorKind> hypervisor;  // absent: ACRN if the host has it, else KVM
  bool virtio_msi = false;
  std::optional<uint32_t> virtio_poll;  // nanoseconds between polls; absent: kicks
  bool windows = false;
  bool debug_exit = false;
  unsigned stop_timeout = 0;               // seconds that a guest has to power off when the VM is to end; 0: none
  std::optional<std::string> cmd_monitor;  // the control socket's path
  std::optional<ListeningPlace> metrics;   // where its counts are read by HTTP
  std::optional<ServeConfig> serve;        // no machine: the disks are for other VMMs
  std::optional<SandboxMode> sandbox;      // absent: see sandbox_mode()
  std::vector<std::string> sandbox_paths;  // where files may be opened once the process is confined
  std::optional<std::string> user;         // who it becomes then; absent: it stays who it is
  LoggerSetting logger;
  bool dry_run = false;
};

// Something that the VM can start with.
inline bool has_kernel(const DmConfig& config) { return config.kernel || config.elf_file || config.firmware; }

// Where a slot's disk is served: <folder>/<vmname>.[<bus>.]<slot>.<function>.sock
std::string serve_socket(const DmConfig& config, const PciAddress& address);

// What --sandbox stands for: on with --serve and under KVM. Looks which hypervisor the host has.
SandboxMode sandbox_mode(const DmConfig& config);

// What the server's clients need of the disks, whatever their options say.
void adapt_to_server(DmConfig& config);

// Text that was asked for instead of a run: help or the version. With a newline at its end.
struct Printout {
  std::string text;
};

struct ParseOutcome {
  std::variant<DmConfig, Printout, Error> result;
  std::vector<std::string> warnings;  // one line each, for the log
};

// What -s and --serve can name.
struct CommandLineTables {
  DeviceTable devices = device_table();
  ServerTable servers = server_table();
};

// `arguments` without the program's name.
ParseOutcome parse_command_line(const std::vector<std::string>& arguments, const CommandLineTables& tables = {});

}  // namespace acrn
