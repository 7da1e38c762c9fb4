#include "dm/base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/landlock.h"

namespace acrn {
namespace {

using std::chrono::milliseconds;
using Access = LandlockRules::Access;

constexpr milliseconds kTermPatience{10'000}, kKillPatience{60'000};
constexpr size_t kMostOutput = 1 << 20;  // bytes
constexpr int kUnknown = 255;
constexpr std::string_view kProcessVariable = "LISTEN_PID=";
constexpr size_t kMostDigits = 20;

LandlockRules rules_of(const ChildProcess::Plan& plan) {
  LandlockRules rules;
  for (const char* path : {"/usr", "/lib", "/lib64", "/bin"}) rules.allow(path, Access::kRun);
  for (const char* path : {"/etc/ld.so.cache", "/dev/urandom"}) rules.allow(path, Access::kRead);
  rules.allow("/dev/null", Access::kReadWrite);
  for (const std::string& path : plan.read) rules.allow(path, Access::kRead);
  for (const std::string& path : plan.read_write) rules.allow(path, Access::kReadWrite);
  if (plan.file >= 0) rules.allow(concat("/proc/self/fd/", plan.file), Access::kReadWrite);
  return rules;
}

std::optional<ChildProcess::User> other_user;  // set before there is another thread

// In the child. By the kernel's calls, which are for one thread: the C library would have all of its memory's follow.
bool become(const ChildProcess::User& user) {
  return ::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0 &&
         ::syscall(SYS_setresgid, user.group, user.group, user.group) == 0 &&
         ::syscall(SYS_setresuid, user.user, user.user, user.user) == 0;
}

// A copy above the descriptors that the child's are moved to.
UniqueFd above_theirs(int fd) { return UniqueFd(fd >= 0 ? ::fcntl(fd, F_DUPFD_CLOEXEC, 10) : -1); }

// In the child, which has signals blocked: no handler of ours, or of a host of the library, runs in it. By the kernel's
// call, since the C library keeps handlers in our memory.
void drop_handlers() {
  for (int signal = 1; signal < _NSIG; signal++) {
    std::array<uint64_t, 4> action{};  // the handler comes first, and zeroes are SIG_DFL
    ::syscall(SYS_rt_sigaction, signal, nullptr, action.data(), sizeof(uint64_t));
    // SAFETY: a number.
    if (action[0] == reinterpret_cast<uintptr_t>(SIG_IGN)) continue;
    action = {};
    ::syscall(SYS_rt_sigaction, signal, action.data(), nullptr, sizeof(uint64_t));
  }
}

// `from` becomes the child's descriptor `to`.
void place(int from, int to) {
  if (from != to) {
    ::dup2(from, to);
  } else {
    ::fcntl(to, F_SETFD, 0);
  }
}

}  // namespace

bool is_program(const std::string& name) {
  const char* const variable = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  std::istringstream folders(variable != nullptr ? variable : "/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access(concat(folder.empty() ? "." : folder, "/", name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// The words of a program for exec, and room for what only the child knows.
class ChildProcess::Words {
 public:
  explicit Words(const Plan& plan) : command_(plan.command) {
    for (std::string& word : command_) arguments_.push_back(word.data());
    arguments_.push_back(nullptr);
    // What systemd has told us is not the child's.
    constexpr std::array<std::string_view, 4> kOurs{"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "NOTIFY_SOCKET="};
    for (char** variable = environ; *variable != nullptr; variable++) {
      const auto begins = [variable](std::string_view name) { return std::string_view(*variable).starts_with(name); };
      if (std::none_of(kOurs.begin(), kOurs.end(), begins)) variables_.push_back(*variable);
    }
    if (plan.listening >= 0) {
      process_ = kProcessVariable;
      process_.resize(process_.size() + kMostDigits + 1);
      variables_.push_back(process_.data());
      variables_.push_back(count_.data());
    }
    variables_.push_back(nullptr);
  }
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;

  // In the child. Does not return.
  [[noreturn]] void run() {
    if (!process_.empty()) {
      char* const digits = process_.data() + kProcessVariable.size();
      *std::to_chars(digits, digits + kMostDigits, ::getpid()).ptr = '\0';
    }
    ::execvpe(arguments_[0], arguments_.data(), variables_.data());
    ::_exit(kNoProgram);
  }

 private:
  std::vector<std::string> command_;
  std::string process_, count_ = "LISTEN_FDS=1";
  std::vector<char*> arguments_, variables_;
};

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const Plan& plan) {
  const std::string& program = plan.command.front();
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error{ErrorKind::kInternal, concat(program, ": pipe: ", errno_text(errno))};
  }
  std::unique_ptr<ChildProcess> child(new ChildProcess);
  child->errors_ = UniqueFd(pipe[0]);
  const UniqueFd their_errors(pipe[1]);
  Words words(plan);
  std::latch forked(1);
  int error = 0;
  const auto body = [&, raw = child.get()] {
    raw->fork(plan, words, their_errors.fd());
    error = errno;
    ChildProcess& it = *raw;  // what was captured by reference ends with the latch
    forked.count_down();
    it.end_of_parent_.wait();
  };
  auto started = child->parent_thread_.start("child", body, Thread::Inherit::kProcess);
  if (!started) return started.error();
  forked.wait();
  if (child->process_ < 0) return Error{ErrorKind::kInternal, concat(program, ": fork: ", errno_text(error))};
  return child;
}

void ChildProcess::run_as(User user) { other_user = std::move(user); }

void ChildProcess::fork(const Plan& plan, Words& words, int errors) {
  const UniqueFd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd listening = above_theirs(plan.listening), file = above_theirs(plan.file);
  const LandlockRules rules = rules_of(plan);
  const std::optional<User>& user = other_user;
  if (user && file) ::fchown(file.fd(), user->user, user->group);
  const pid_t us = ::getpid();
  // Our memory is not copied, not even to be: a page that a device is writing into (O_DIRECT, before Linux 6.3) would
  // be the child's, and a copy of it ours. So this thread waits, and the child, until exec, has our memory.
  // NOLINTBEGIN(clang-analyzer-security.insecureAPI.vfork, clang-analyzer-unix.Vfork)
  process_ = ::vfork();
  if (process_ == 0) {  // system calls only: other threads run, and may hold any lock
    drop_handlers();
    if (user && !become(*user)) ::_exit(kNoProgram - 1);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // which another user would lose
    if (::getppid() != us) ::_exit(0);
    // What a terminal or a script sends to all of us is ours to answer first. Not a session of its own: the scheduler
    // would take the two of us for rivals (sched(7), autogroup).
    ::setpgid(0, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    place(nowhere.fd(), STDIN_FILENO);
    place(plan.output >= 0 ? plan.output : nowhere.fd(), STDOUT_FILENO);
    place(errors, STDERR_FILENO);
    if (listening) place(listening.fd(), kListening);
    if (file) place(file.fd(), kFile);
    if (rules.fd() >= 0 && !LandlockRules::restrict_self(rules.fd())) ::_exit(kNoProgram - 1);
    words.run();
  }
  // NOLINTEND(clang-analyzer-security.insecureAPI.vfork, clang-analyzer-unix.Vfork)
  if (process_ > 0) handle_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, process_, 0)));
}

ChildProcess::~ChildProcess() {
  if (process_ > 0 && status_ < 0) {
    send(SIGTERM);
    if (wait(kTermPatience) < 0) {
      send(SIGKILL);
      wait(kKillPatience);
    }
  }
  end_of_parent_.count_down();
  parent_thread_.join();
}

void ChildProcess::send(int signal) const { ::syscall(SYS_pidfd_send_signal, handle_.fd(), signal, nullptr, 0); }

int ChildProcess::wait(milliseconds patience) {
  if (status_ >= 0) return status_;
  pollfd ended{handle_.fd(), POLLIN, 0};
  while (::poll(&ended, 1, static_cast<int>(patience.count())) < 0 && errno == EINTR) {
  }
  int status = 0;
  const pid_t ended_process = ::waitpid(process_, &status, WNOHANG);
  if (ended_process == 0) return -1;
  if (ended_process < 0) return status_ = kUnknown;  // a host of the library has waited for all of its children
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

std::string ChildProcess::last_words() {
  std::string text;
  std::array<char, 4096> piece;
  for (ssize_t size; (size = ::read(errors_.fd(), piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<size_t>(size));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

Result<std::string> output_of(ChildProcess::Plan plan, milliseconds patience) {
  const std::string program = plan.command.front();
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    return Error{ErrorKind::kInternal, concat(program, ": pipe: ", errno_text(errno))};
  }
  const UniqueFd output(pipe[0]);
  UniqueFd theirs(pipe[1]);
  plan.output = theirs.fd();
  auto started = ChildProcess::start(plan);
  if (!started) return started.error();
  theirs.reset();
  ChildProcess& child = *started.value();
  const auto end = std::chrono::steady_clock::now() + patience;
  const auto left = [end] {
    return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now()));
  };
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    pollfd more{output.fd(), POLLIN, 0};
    const int ready = ::poll(&more, 1, static_cast<int>(left().count()));
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t size = ready > 0 ? ::read(output.fd(), piece.data(), piece.size()) : 0;
    if (size <= 0) break;
    text.append(piece.data(), static_cast<size_t>(size));
    if (text.size() > kMostOutput) return Error{ErrorKind::kNoInput, concat(program, ": prints too much")};
  }
  const int status = child.wait(left());
  if (status == 0) return text;
  if (status == ChildProcess::kNoProgram) {
    return Error{ErrorKind::kUnavailable, concat(program, ": there is no such program")};
  }
  const std::string why = child.last_words();
  return Error{ErrorKind::kNoInput, !why.empty() ? why : concat(program, status < 0 ? ": takes too long" : ": failed")};
}

}  // namespace acrn
