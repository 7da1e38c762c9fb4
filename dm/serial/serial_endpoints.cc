#include "dm/serial/serial_endpoints.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/base/errno_text.h"
#include "dm/base/folder.h"
#include "dm/base/one_line.h"

namespace acrn {
namespace {

constexpr int kNeverWait = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
constexpr const char* kFileAdvice = "; give stdio, pty, a terminal or a file that we may write";
constexpr const char* kDeviceAdvice = "; give a terminal that we may read and write";

struct Name {
  const std::string& option;
  const std::string& backend;

  Error error(const std::string& why) const {
    return {ErrorKind::kNoInput, concat(option, ": ", one_line(backend), ": ", why)};
  }
  Error system_error(const char* call) const { return error(concat(call, ": ", errno_text(errno))); }
};

UniqueFd duplicate(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

// O_NONBLOCK on a description that we inherited would show in the shell that shares it, so a terminal or a pipe is
// opened again. Other kinds, and those that we may not open, stay shared.
UniqueFd open_anew(int fd, int flags) {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || (!S_ISFIFO(status.st_mode) && ::isatty(fd) == 0)) return {};
  return UniqueFd(::open(concat("/proc/self/fd/", fd).c_str(), flags | kNeverWait));
}

Result<SerialEndpoints> open_stdio(const Name& name) {
  SerialEndpoints ends;
  ends.output = open_anew(STDOUT_FILENO, O_WRONLY);
  if (!ends.output) {
    struct stat status {};
    if (::fstat(STDOUT_FILENO, &status) != 0) return name.error("standard output is closed; open it or give a file");
    ends.output = duplicate(STDOUT_FILENO);
    ends.may_block = !S_ISREG(status.st_mode);
  }
  ends.input = open_anew(STDIN_FILENO, O_RDONLY);
  if (!ends.input) ends.input = duplicate(STDIN_FILENO);  // closed: no input
  ends.user = ends.input && ::isatty(ends.input.fd()) != 0;
  if (ends.user) ends.raw = RawTerminal::enter(ends.input.fd(), ends.user);
  return ends;
}

Result<SerialEndpoints> open_pty(const Name& name) {
  SerialEndpoints ends;
  ends.output = UniqueFd(::posix_openpt(O_RDWR | kNeverWait));
  if (!ends.output) return name.system_error("posix_openpt");
  std::array<char, 128> path{};
  const int master = ends.output.fd();
  if (::grantpt(master) != 0 || ::unlockpt(master) != 0 || ::ptsname_r(master, path.data(), path.size()) != 0) {
    return name.system_error("pty");
  }
  ends.pty = path.data();
  // Raw from the start, or the guest's output would come back as an echo. Opened and closed once, the other side
  // counts as hung up until somebody comes.
  const UniqueFd slave(::open(path.data(), O_RDWR | kNeverWait));
  termios mode{};
  if (!slave || ::tcgetattr(slave.fd(), &mode) != 0) return name.system_error(path.data());
  ::cfmakeraw(&mode);
  ::tcsetattr(slave.fd(), TCSANOW, &mode);
  ends.input = duplicate(master);
  if (!ends.input) return name.system_error("fcntl");
  log(LogLevel::kNotice, concat(name.option, ": the guest's serial port is at ", ends.pty));
  return ends;
}

Result<SerialEndpoints> open_device(const Name& name) {
  SerialEndpoints ends;
  ends.output = UniqueFd(::open(name.backend.c_str(), O_RDWR | kNeverWait));
  if (!ends.output) return name.error(concat(errno_text(errno), kDeviceAdvice));
  ends.input = duplicate(ends.output.fd());
  if (!ends.input) return name.system_error("fcntl");
  ends.raw = RawTerminal::enter(ends.output.fd());
  return ends;
}

Result<SerialEndpoints> open_file(const Name& name, int create) {
  SerialEndpoints ends;
  // A console may say things that are not for everybody.
  ends.output = UniqueFd(::open(name.backend.c_str(), O_WRONLY | O_APPEND | create | kNeverWait, 0600));
  if (ends.output) return ends;
  if (errno == ENXIO) return name.error("nobody reads this FIFO; start its reader first (cat <path> &)");
  return name.error(concat(errno_text(errno), kFileAdvice));
}

// What the path is now; 0: nothing yet.
Result<mode_t> kind_of(const Name& name) {
  const std::string& path = name.backend;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    const int error = errno == ENOENT ? cannot_create_in(parent_folder(path)) : errno;
    if (error != 0) return name.error(concat(errno_text(error), kFileAdvice));
    return mode_t{0};
  }
  switch (status.st_mode & S_IFMT) {
    case S_IFCHR:
    case S_IFREG:
    case S_IFIFO: break;
    case S_IFDIR: return name.error("it is a directory; give stdio, pty, a terminal or a file");
    default: return name.error("it is no terminal, FIFO or file; give stdio, pty or one of these");
  }
  const bool device = S_ISCHR(status.st_mode);
  if (::faccessat(AT_FDCWD, path.c_str(), device ? R_OK | W_OK : W_OK, AT_EACCESS) != 0) {
    return name.error(concat(errno_text(errno), device ? kDeviceAdvice : kFileAdvice));
  }
  return status.st_mode & S_IFMT;
}

}  // namespace

Result<void> check_serial_endpoints(const std::string& backend, const std::string& option) {
  const Name name{option, backend};
  if (backend == "stdio" || backend == "pty") return {};
  const auto kind = kind_of(name);
  return kind ? Result<void>() : kind.error();
}

Result<SerialEndpoints> open_serial_ends(const std::string& backend, const std::string& option) {
  const Name name{option, backend};
  if (backend == "stdio") return open_stdio(name);
  if (backend == "pty") return open_pty(name);
  const auto kind = kind_of(name);
  if (!kind) return kind.error();
  if (kind.value() == S_IFCHR) return open_device(name);
  return open_file(name, kind.value() == 0 ? O_CREAT : 0);
}

}  // namespace acrn
