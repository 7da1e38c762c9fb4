// acrn-dm: arguments to configuration, configuration to a machine, errors to one line and an exit code.
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/base/log_setup.h"
#include "dm/base/one_line.h"
#include "dm/base/standard_descriptors.h"
#include "dm/cli/backend_program.h"
#include "dm/cli/command_line.h"
#include "dm/cli/dry_run.h"
#include "dm/mem/bus_errors.h"
#include "dm/run/confinement.h"
#include "dm/run/preflight.h"
#include "dm/run/runner.h"
#include "dm/serial/terminal.h"
#include "dm/socket/inherited_sockets.h"

namespace acrn {
namespace {

const char* program_name = "acrn-dm";

int report(const Error& error) {
  std::fprintf(stderr, "%s: %s\n", program_name, one_line(error.message).c_str());
  return static_cast<int>(error.kind);
}

int print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) == 0 && written) return 0;
  return report({ErrorKind::kInternal, "stdout: the output could not be written"});
}

sigset_t end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

// A second signal: at once, and as if we had never caught it.
[[noreturn]] void die_of(int signal) {
  restore_terminal();
  std::signal(signal, SIG_DFL);
  const sigset_t signals = end_signals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  std::raise(signal);
  std::_Exit(128 + signal);
}

// A queue takes about seven descriptors, and what a shell allows is often 1024.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Who asks once may send two signals: timeout(1) does, and a terminal that goes away.
constexpr auto kSameRequest = std::chrono::milliseconds(200);

// Returns when it has ended. Signals are taken from here, so that no start and no disk can hold them up.
void await_end(Runner& runner, EventLoop& loop, int signal_fd) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> asked;
  for (;;) {
    pollfd wanted[] = {{runner.ended_fd(), POLLIN, 0}, {signal_fd, POLLIN, 0}};
    if (::poll(wanted, 2, -1) < 0) continue;
    if (wanted[0].revents != 0) return;
    signalfd_siginfo signal;
    if (::read(signal_fd, &signal, sizeof(signal)) != sizeof(signal)) continue;
    if (signal.ssi_signo == SIGCONT) {
      loop.post(renew_raw_terminals);
      continue;
    }
    const auto now = Clock::now();
    if (!asked) {
      asked = now;
      runner.request_stop();
    } else if (now - *asked >= kSameRequest) {
      die_of(static_cast<int>(signal.ssi_signo));
    }
  }
}

int launch(const DmConfig& config) {
  sigset_t signals = end_signals();
  sigaddset(&signals, SIGCONT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before there is another thread
  prepare_sandbox(config);
  // Neither a console that went away nor a full quota of its file is a reason to end a VM.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  allow_many_descriptors();
  const UniqueFd signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!signal_fd) return report({ErrorKind::kInternal, concat("signalfd: ", errno_text(errno))});
  auto loop = EpollLoop::create("control", {});
  if (!loop) return report(loop.error());
  auto runner = Runner::create(config, *loop.value());
  if (!runner) return report(runner.error());
  loop.value()->post([&] { runner.value()->start(); });
  await_end(*runner.value(), *loop.value(), signal_fd.fd());
  Result<int> outcome = 0;
  loop.value()->run([&] {
    outcome = runner.value()->outcome();
    runner.value().reset();
  });
  restore_terminal();
  return outcome ? outcome.value() : report(outcome.error());
}

int run(const DmConfig& config, const std::vector<std::string>& warnings) {
  catch_bus_errors();
  LoggerSetting channels = config.logger;
  if (config.dry_run) channels.disk = channels.kmsg = std::nullopt;  // a dry run opens nothing for writing
  if (const auto set_up = setup_logging(channels, concat("/var/log/acrn-dm/", config.vm_name, ".log")); !set_up) {
    return report(set_up.error());
  }
  for (const std::string& warning : warnings) log(LogLevel::kWarning, warning);
  if (config.serve && config.serve->fd) {
    const auto added = InheritedSockets::add(*config.serve->fd, config.serve->socket);
    if (!added) return report({added.error().kind, concat("--fd: ", added.error().message)});
  }
  if (!config.dry_run) return launch(config);
  const auto facts = preflight(config);
  return facts ? print(dry_run(config, facts.value()) + "\n") : report(facts.error());
}

int start(int argc, char** argv) {
  ensure_standard_descriptors();
  InheritedSockets::take_environment();
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const bool backend = argc > 0 && is_backend_program(argv[0]);
  if (backend) program_name = "vhost-user-blk";
  const ParseOutcome outcome = backend ? parse_backend_command_line(arguments) : parse_command_line(arguments);
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
