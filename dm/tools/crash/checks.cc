#include "dm/tools/crash/checks.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/one_line.h"

extern char** environ;

namespace acrn {
namespace {

constexpr int kCannotRun = 126, kNotFound = 127;  // of a shell
constexpr int kTimedOut = 124;                    // of timeout(1)
constexpr std::streamoff kSaid = 2000;            // bytes that are kept of what a check says

std::string said_file(const std::string& image) { return image + ".said"; }

std::string quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string read_end(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file.tellg();
  file.seekg(size > kSaid ? size - kSaid : 0);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

std::string with_image(const std::string& command, const std::string& image) {
  std::string text;
  for (size_t i = 0; i < command.size(); i++) {
    const bool twice = command.compare(i, 2, "%%") == 0;
    text += command[i] != '%' ? std::string(1, command[i]) : twice ? "%" : quoted(image);
    i += twice ? 1 : 0;
  }
  return text;
}

std::string Checks::Ended::why() const {
  const std::string last = one_line(said.substr(said.rfind('\n') + 1));
  if (status == kTimedOut) return "it took too long; see --check-seconds";
  return concat("exit status ", status, last.empty() ? "" : ": ", last);
}

AwaitedSignals::AwaitedSignals() {
  ::sigemptyset(&blocked_);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&blocked_, number);
  ::pthread_sigmask(SIG_BLOCK, &blocked_, &before_);
}

AwaitedSignals::~AwaitedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

int AwaitedSignals::wait() const { return std::max(::sigwaitinfo(&blocked_, nullptr), 0); }

Checks::Checks(std::string command, unsigned seconds, const AwaitedSignals& signals)
    : command_(std::move(command)), seconds_(std::to_string(seconds)), signals_(signals) {}

Checks::~Checks() {
  for (const auto& [pid, image] : running_) ::kill(pid, SIGTERM);
  for (const auto& [pid, image] : running_) ::waitpid(pid, nullptr, 0);
}

Result<void> Checks::start(const std::string& image) {
  const std::string command = with_image(command_, image), said = said_file(image);
  std::array<const char*, 8> arguments{"timeout", "-k", "5", seconds_.c_str(), "sh", "-c", command.c_str(), nullptr};
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
                                     0600);
  ::posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &signals_.before());
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  // SAFETY: posix_spawnp() does not change them.
  const int error = ::posix_spawnp(&pid, "timeout", &files, &attributes, const_cast<char**>(arguments.data()), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) return Error{ErrorKind::kInternal, concat("timeout: ", errno_text(error))};
  running_.emplace(pid, image);
  return {};
}

Result<pid_t> Checks::wait_for_child(int& status) {
  while (signal_ == 0) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0) return Error{ErrorKind::kInternal, concat("a check: ", errno_text(errno))};
    if (pid > 0) return pid;
    const int number = signals_.wait();
    if (number != SIGCHLD) signal_ = number;
  }
  return Error{ErrorKind::kInternal, concat("crash: ended by signal ", signal_)};
}

Result<Checks::Ended> Checks::wait() {
  for (;;) {
    int status = 0;
    const auto pid = wait_for_child(status);
    if (!pid) return pid.error();
    const auto found = running_.find(pid.value());
    if (found == running_.end()) continue;
    Ended ended{.image = std::move(found->second),
                .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                .said = {}};
    running_.erase(found);
    ended.said = read_end(said_file(ended.image));
    if (ended.status == kCannotRun || ended.status == kNotFound) {
      return Error{ErrorKind::kUsage, concat("--check: the command cannot be run: ", ended.why())};
    }
    return ended;
  }
}

}  // namespace acrn
