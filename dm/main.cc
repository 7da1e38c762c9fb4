// acrn-dm: arguments to configuration, configuration to a machine, errors to one line and an exit code.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/log_setup.h"
#include "dm/base/one_line.h"
#include "dm/config.h"
#include "dm/dry_run.h"

namespace acrn {
namespace {

// Otherwise the first image would become stdout or stderr of a process started without them, and messages
// would be written into a disk.
void ensure_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // open() takes the lowest free number, which is `fd` since those below it are taken by now.
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return;
  }
}

int report(const Error& error) {
  std::fprintf(stderr, "acrn-dm: %s\n", one_line(error.message).c_str());
  return static_cast<int>(error.kind);
}

int print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) == 0 && written) return 0;
  return report({ErrorKind::kInternal, "stdout: the output could not be written"});
}

int run(const DmConfig& config, const std::vector<std::string>& warnings) {
  LoggerSetting channels = config.logger;
  if (config.dry_run) channels.disk = channels.kmsg = std::nullopt;  // a dry run opens nothing for writing
  if (const auto set_up = setup_logging(channels, concat("/var/log/acrn-dm/", config.vm_name, ".log"));
      !set_up) {
    return report(set_up.error());
  }
  for (const std::string& warning : warnings) log(LogLevel::kWarning, warning);
  if (!config.dry_run) {
    return report(
        {ErrorKind::kUnavailable, "this build has no hypervisor; use --dry_run to check a command line"});
  }
  const Result<std::string> json = dry_run(config);
  return json ? print(json.value() + "\n") : report(json.error());
}

int start(int argc, char** argv) {
  ensure_standard_descriptors();
  const ParseOutcome outcome =
      parse_command_line(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  if (const auto* printout = std::get_if<Printout>(&outcome.result)) return print(printout->text);
  if (const auto* error = std::get_if<Error>(&outcome.result)) return report(*error);
  return run(std::get<DmConfig>(outcome.result), outcome.warnings);
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
