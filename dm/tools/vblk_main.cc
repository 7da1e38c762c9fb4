// vblk: the loopback guest as a command. Arguments to options, errors to one line and an exit code.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "acrn/base/concat.h"
#include "dm/base/one_line.h"
#include "dm/base/page.h"
#include "dm/base/standard_descriptors.h"
#include "dm/cli/option_table.h"
#include "dm/tools/commands.h"

namespace acrn {
namespace {

// The command line as text; values are checked by us, so that every message is ours.
struct CommandLine {
  std::vector<std::string> slots;
  std::string interrupts = "msix";
  bool no_event_index = false, no_indirect = false, single_msi = false, windows = false;
  bool json = false, no_verify = false, acknowledge = false, keep = false;
  std::string sector = "0", count;
  BenchText bench;
};

Error bad(std::string_view option, std::string_view value, std::string_view right) {
  return usage_error(concat(option, " ", value, ": give ", right));
}

template <class T>
Result<void> number(std::string_view option, const std::string& text, uint64_t low, uint64_t high, T& to) {
  const auto value = parse_number(text, low, high);
  if (!value) return bad(option, text, concat("a number from ", low, " to ", high));
  to = static_cast<T>(*value);
  return {};
}

Result<SessionOptions> session_options(const CommandLine& line) {
  SessionOptions options{.slots = line.slots,
                         .event_index = !line.no_event_index,
                         .indirect = !line.no_indirect,
                         .single_msi = line.single_msi,
                         .windows = line.windows};
  if (line.interrupts == "intx") {
    options.interrupts = InterruptMode::kIntx;
  } else if (line.interrupts == "msi") {
    options.interrupts = InterruptMode::kMsi;
    options.single_msi = true;
  } else if (line.interrupts != "msix") {
    return bad("--interrupts", line.interrupts, "intx, msi or msix");
  }
  if (line.single_msi && options.interrupts == InterruptMode::kMsix) options.interrupts = InterruptMode::kMsi;
  return options;
}

Result<RequestOptions> request_options(const CommandLine& line) {
  constexpr uint64_t kMaxSector = UINT64_MAX / VIRTIO_BLK_SECTOR_SIZE;
  RequestOptions options{.unmap = !line.keep, .acknowledge = line.acknowledge};
  if (auto ok = number("--sector", line.sector, 0, kMaxSector, options.sector); !ok) return ok.error();
  if (!line.count.empty()) {
    uint64_t count = 0;
    if (auto ok = number("--count", line.count, 1, kMaxSector, count); !ok) return ok.error();
    options.count = count;
  }
  return options;
}

CLI::App* add_command(CLI::App& app, CommandLine& line, const char* name, const char* text, const char* example) {
  CLI::App* command = app.add_subcommand(name, text);
  command->footer(concat("example: vblk ", name, " ", example));
  command->add_option("-s,--pci_slot", line.slots, "<slot>,virtio-blk,<path>[,options] as for acrn-dm")
      ->required()
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("SLOT");
  command->add_flag("--virtio_msi", line.single_msi, "one MSI vector and no MSI-X");
  command->add_flag("--windows", line.windows, "subsystem vendor 0x108e");
  if (std::string_view(name) == "check") return command;  // which tries them all
  command->add_option("--interrupts", line.interrupts, "intx, msi or msix (default)");
  command->add_flag("--no-event-idx", line.no_event_index, "the driver does not accept EVENT_IDX");
  command->add_flag("--no-indirect", line.no_indirect, "the driver does not accept INDIRECT_DESC");
  return command;
}

void add_range(CLI::App* command, CommandLine& line) {
  command->add_option("--sector", line.sector, "first sector of 512 bytes (default 0)");
  command->add_option("--count", line.count, "sectors of 512 bytes");
}

void add_bench_options(CLI::App* command, BenchText& text) {
  command->add_option("--rw", text.rw, "read, write, randread, randwrite or randrw (default randread)");
  command->add_option("--rwmixread", text.read_percent, "percentage of reads in randrw (default 50)");
  command->add_option("--bs", text.block, "bytes of a request (default 4k)");
  command->add_option("--qd,--iodepth", text.depth, "requests in flight per job (default 16)");
  command->add_option("--numjobs", text.jobs,
                      "guest threads, each with a queue of its own (default: as many as queues)");
  command->add_option("--size", text.size, "work on the first bytes only, like 1G");
  command->add_option("--seconds,--runtime", text.seconds, "how long (default 5)");
  command->add_option("--ramp,--ramp_time", text.ramp, "seconds of load that are not measured, before (default 0)");
  command->add_option("--seed", text.seed, "of the random pattern (default 1)");
  command->add_flag("--verify", text.verify, "check what is read, and at the end all that was written");
  command
      ->add_option("--direct-baseline,--baseline", text.direct,
                   "in turns with the same pattern on the file itself: preadv, io_uring or best (default)")
      ->expected(0, 1)
      ->default_str("best")
      ->type_name("METHOD");
  command->add_flag("--cold", text.cold, "the file leaves the page cache before each round");
  command->add_flag("--json", text.json, "machine-readable");
}

using Run = std::function<Result<void>(const SessionOptions&)>;

// The commands, each with what carries it out.
std::vector<std::pair<CLI::App*, Run>> add_commands(CLI::App& app, CommandLine& line) {
  std::vector<std::pair<CLI::App*, Run>> commands;
  const auto with_request = [&line](Result<void> (*run)(const SessionOptions&, const RequestOptions&)) {
    return [&line, run](const SessionOptions& session) -> Result<void> {
      auto request = request_options(line);
      if (!request) return request.error();
      return run(session, request.value());
    };
  };
  CLI::App* info = add_command(app, line, "info", "the function as a driver sees it", "-s 9,virtio-blk,disk.img");
  info->add_flag("--json", line.json, "machine-readable");
  commands.emplace_back(info, [&line](const auto& session) { return run_info(session, line.json); });

  CLI::App* copy = add_command(app, line, "copy", "a whole disk through two devices, verified by SHA-256",
                               "-s 3,virtio-blk,in.img,ro -s 4,virtio-blk,out.img,writeback");
  copy->add_flag("--no-verify", line.no_verify, "do not read the copy back");
  copy->add_flag("--json", line.json, "machine-readable");
  commands.emplace_back(copy, [&line](const auto& session) { return run_copy(session, !line.no_verify, line.json); });

  CLI::App* read =
      add_command(app, line, "read", "sectors to stdout", "-s 3,virtio-blk,disk.img,ro --sector 0 --count 8");
  add_range(read, line);
  commands.emplace_back(read, with_request(run_read));

  CLI::App* write =
      add_command(app, line, "write", "stdin to sectors", "-s 3,virtio-blk,disk.img --sector 2048 < data");
  add_range(write, line);
  write->add_flag("--acknowledge", line.acknowledge, "print 'written SECTOR COUNT' as each request completes");
  commands.emplace_back(write, with_request(run_write));

  CLI::App* flush = add_command(app, line, "flush", "make what was written stable", "-s 3,virtio-blk,disk.img");
  commands.emplace_back(flush, run_flush);

  CLI::App* discard = add_command(app, line, "discard", "tell the disk that sectors are unused",
                                  "-s 3,virtio-blk,disk.img,discard --sector 2048 --count 2048");
  add_range(discard, line);
  commands.emplace_back(discard, with_request(run_discard));

  CLI::App* zero = add_command(app, line, "zero", "write zeroes without sending them",
                               "-s 3,virtio-blk,disk.img,discard --sector 0 --count 2048");
  add_range(zero, line);
  zero->add_flag("--keep", line.keep, "keep the space allocated");
  commands.emplace_back(zero, with_request(run_zero));

  CLI::App* bench = add_command(app, line, "bench", "load generator (write patterns overwrite the disk)",
                                "-s 3,virtio-blk,disk.img,writeback --rw randread --bs 4k --qd 16 --direct-baseline");
  add_bench_options(bench, line.bench);
  commands.emplace_back(bench, [&line](const SessionOptions& session) -> Result<void> {
    auto options = parse_bench_options(line.bench);
    if (!options) return options.error();
    return run_bench(session, options.value());
  });

  CLI::App* check = add_command(app, line, "check", "conformance self-test; restores the sectors it writes",
                                "-s 3,virtio-blk,scratch.img");
  check->add_flag("--json", line.json, "machine-readable");
  commands.emplace_back(check, [&line](const auto& session) { return run_check(session, line.json); });
  return commands;
}

int report(const Error& error) {
  std::fprintf(stderr, "vblk: %s\n", one_line(error.message).c_str());
  return static_cast<int>(error.kind);
}

int start(int argc, char** argv) {
  ensure_standard_descriptors();
  CommandLine line;
  CLI::App app("vblk: drives the virtio-blk device of acrn-dm with a legacy driver in the same process", "vblk");
  app.set_version_flag("-v,--version", "vblk " ACRN_DM_VERSION);
  app.require_subcommand(1);
  const auto commands = add_commands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto used = app.get_subcommands();
    std::fputs(fitted(used.empty() ? app.help() : used.front()->help()).c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return report(
        usage_error(concat(error.what(), "; vblk --help shows the commands, vblk <command> --help its options")));
  }
  auto session = session_options(line);
  if (!session) return report(session.error());
  for (const auto& [command, run] : commands) {
    if (!command->parsed()) continue;
    const Result<void> done = run(session.value());
    if (!done) return report(done.error());
  }
  return std::fflush(stdout) == 0 ? 0 : report({ErrorKind::kIo, "stdout: the output could not be written"});
}

}  // namespace
}  // namespace acrn

int main(int argc, char** argv) {
  try {
    return acrn::start(argc, argv);
  } catch (const std::exception& error) {
    return acrn::report({acrn::ErrorKind::kInternal, error.what()});
  }
}
