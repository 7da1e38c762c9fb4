// vblk: the loopback guest as a command. Arguments to options, errors to one line and an exit code.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string_view>
#include <variant>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/base/one_line.h"
#include "dm/base/page.h"
#include "dm/base/standard_descriptors.h"
#include "dm/cli/option_table.h"
#include "dm/mem/bus_errors.h"
#include "dm/tools/commands.h"
#include "dm/tools/option_values.h"
#include "dm/tools/vblk_options.h"

namespace acrn {
namespace {

Result<SessionOptions> session_options(const VblkCommandLine& line) {
  SessionOptions options{.slots = line.slots,
                         .connect = line.connect,
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
    return bad_value("--interrupts", line.interrupts, "intx, msi or msix");
  }
  if (line.single_msi && options.interrupts == InterruptMode::kMsix) options.interrupts = InterruptMode::kMsi;
  return options;
}

Result<RequestOptions> request_options(const VblkCommandLine& line) {
  constexpr uint64_t kMaxSector = UINT64_MAX / VIRTIO_BLK_SECTOR_SIZE;
  RequestOptions options{.unmap = !line.keep, .acknowledge = line.acknowledge};
  if (auto ok = accept_number("--sector", line.sector, 0, kMaxSector, options.sector); !ok) return ok.error();
  if (!line.count.empty()) {
    uint64_t count = 0;
    if (auto ok = accept_number("--count", line.count, 1, kMaxSector, count); !ok) return ok.error();
    options.count = count;
  }
  return options;
}

void add_option(CLI::App& command, const VblkOption& option, VblkCommandLine& line) {
  const std::string names(option.names), help(option.help);
  if (const auto* flag = std::get_if<bool VblkCommandLine::*>(&option.target)) {
    command.add_flag(names, line.**flag, help);
  } else if (const auto* text = std::get_if<std::string VblkCommandLine::*>(&option.target)) {
    CLI::Option* const added = command.add_option(names, line.**text, help);
    if (option.implied.empty()) return;
    added->expected(0, 1)->default_str(std::string(option.implied))->type_name("METHOD");
  } else {
    command.add_option(names, line.*std::get<std::vector<std::string> VblkCommandLine::*>(option.target), help)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name(option.target == VblkOption::Target(&VblkCommandLine::slots) ? "SLOT" : "SERVER");
  }
}

void add_commands(CLI::App& app, VblkCommandLine& line) {
  for (const VblkCommand& command : vblk_commands()) {
    CLI::App* const added = app.add_subcommand(std::string(command.name), std::string(command.help));
    added->footer(concat("example: vblk ", command.name, " ", command.example));
    for (const VblkOperand& operand : command.operands) {
      if (operand.target != nullptr) {
        added->add_option(std::string(operand.name), line.*operand.target, std::string(operand.help));
      }
    }
    for (const auto& group : command.options) {
      for (const VblkOption& option : group) add_option(*added, option, line);
    }
  }
}

template <Result<void> (*request)(const SessionOptions&, const RequestOptions&)>
Result<void> run_request(const SessionOptions& session, const VblkCommandLine& line) {
  const auto options = request_options(line);
  return options ? request(session, options.value()) : options.error();
}

Result<void> run_command(std::string_view name, const SessionOptions& session, const VblkCommandLine& line) {
  if (name == "info") return run_info(session, line.json);
  if (name == "copy") return run_copy(session, !line.no_verify, line.json);
  if (name == "convert") return run_convert(session, !line.no_verify, line.json);
  if (name == "read") return run_request<run_read>(session, line);
  if (name == "write") return run_request<run_write>(session, line);
  if (name == "flush") return run_flush(session);
  if (name == "discard") return run_request<run_discard>(session, line);
  if (name == "zero") return run_request<run_zero>(session, line);
  if (name == "check") return run_check(session, line.json);
  if (name == "top") {
    const auto options = parse_top_options(line, line.count, line.json);
    return options ? run_top(options.value()) : options.error();
  }
  if (name == "report") {
    const auto options = parse_report_options(line);
    return options ? run_report(options.value()) : options.error();
  }
  if (name == "trace") {
    const auto options = parse_trace_options(line, line.json);
    return options ? run_trace(session, options.value()) : options.error();
  }
  if (name == "crash") {
    const auto options = parse_crash_options(line, line.seed, line.json);
    return options ? run_crash(options.value()) : options.error();
  }
  if (name == "coach") return run_coach(line.place, line.json);
  ACRN_CHECK(name == "bench");
  const auto options = parse_bench_options(line);
  return options ? run_bench(session, options.value()) : options.error();
}

// What a command was given and does not know.
Result<void> check_rest(const CLI::App& app, const CLI::App& command) {
  const std::vector<std::string> rest = app.remaining(true);
  if (rest.empty()) return {};
  const std::string where = concat("vblk ", command.get_name(), " --help shows what it takes");
  const auto option = std::find_if(rest.begin(), rest.end(), [](const auto& word) { return word.starts_with('-'); });
  if (option == rest.end()) return usage_error(concat(rest.front(), ": one argument too many; ", where));
  std::vector<std::string> names;
  for (const CLI::Option* known : command.get_options()) {
    for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
  }
  return unknown_option(*option, where, std::vector<std::string_view>(names.begin(), names.end()));
}

int report(const Error& error) {
  std::fflush(stdout);  // what was printed before stands before it
  std::fprintf(stderr, "vblk: %s\n", one_line(error.message).c_str());
  return static_cast<int>(error.kind);
}

constexpr const char* kFirstSteps = R"(vblk drives a virtio-blk disk without a guest. For example:

  vblk info -s 9,virtio-blk,disk.img                        what a driver finds
  vblk copy -s 3,virtio-blk,a.img,ro -s 4,virtio-blk,b.img  a disk, verified
  vblk check -s 9,virtio-blk,scratch.img                    clause by clause
  vblk bench -s 9,virtio-blk,scratch.img --direct-baseline  beside the file
  vblk coach vm1.trace                                      a driver's mistakes

vblk --help has all commands, vblk <command> --help its options.
)";

int start(int argc, char** argv) {
  ensure_standard_descriptors();
  if (argc < 2) {
    std::fputs(kFirstSteps, stderr);
    return static_cast<int>(ErrorKind::kUsage);
  }
  VblkCommandLine line;
  CLI::App app("vblk: drives the virtio-blk device of acrn-dm with a legacy driver in the same process", "vblk");
  app.set_version_flag("-v,--version", "vblk " ACRN_DM_VERSION);
  app.require_subcommand(1);
  app.allow_extras();  // for check_rest()
  add_commands(app, line);
  std::vector<std::string_view> commands;
  for (const VblkCommand& command : vblk_commands()) commands.push_back(command.name);
  const std::string_view first = argv[1];
  if (!first.starts_with('-') && std::find(commands.begin(), commands.end(), first) == commands.end()) {
    return report(unknown_word(first, "a command", commands));
  }
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
  const CLI::App& command = *app.get_subcommands().front();
  if (const auto known = check_rest(app, command); !known) return report(known.error());
  auto session = session_options(line);
  if (!session) return report(session.error());
  catch_bus_errors();
  const Result<void> done = run_command(command.get_name(), session.value(), line);
  if (!done) return report(done.error());
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
