// For tests of the serial line and the terminal: children, ptys, and descriptors that are read to the end.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "acrn/base/unique_fd.h"
#include "tests/support/test.h"

namespace acrn::test {

// Runs `body` in a child, which exits with 0 unless a check fails; the status of waitpid().
template <class Body>
int in_child(Body body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  EXPECT(child >= 0);
  if (child == 0) {
    try {
      body();
      ::_exit(0);
    } catch (const Failure& failure) {
      std::fprintf(stderr, "%s: %s\n", failure.where.c_str(), failure.what.c_str());
      ::_exit(99);
    }
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, WUNTRACED), child);
  if (WIFSTOPPED(status)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return status;
}

// A process that waits, in a group of its own, until its parent ends.
inline pid_t idle_group() {
  const pid_t parent = ::getpid(), child = ::fork();
  EXPECT(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) ::pause();
    ::_exit(0);
  }
  EXPECT_EQ(::setpgid(child, child), 0);
  return child;
}

// A terminal: its user has the master, programs run on the other side.
struct Pty {
  Pty() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (!master) SKIP("no pty to be had");
    std::array<char, 128> name{};
    EXPECT(::grantpt(master.fd()) == 0 && ::unlockpt(master.fd()) == 0);
    EXPECT_EQ(::ptsname_r(master.fd(), name.data(), name.size()), 0);
    path = name.data();
    side = UniqueFd(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT(static_cast<bool>(side));
  }

  bool raw() const {
    termios mode{};
    EXPECT_EQ(::tcgetattr(side.fd(), &mode), 0);
    return (mode.c_lflag & (ICANON | ECHO | ISIG)) == 0;
  }

  UniqueFd master, side;
  std::string path;
};

// Where the other side of this process's only pty is.
inline std::string only_pty() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::array<char, 128> name{};
    if (::ptsname_r(std::stoi(entry.path().filename()), name.data(), name.size()) == 0) return name.data();
  }
  EXPECT(false);
  return {};
}

inline void write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(fd, text.data() + done, text.size() - done);
    EXPECT(written > 0);
    done += static_cast<size_t>(written);
  }
}

// Up to `bytes`, or the end, or nothing for ten seconds.
inline std::string read_up_to(int fd, size_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&one, 1, 10'000) <= 0) break;
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(fd, buffer.data(), std::min(buffer.size(), bytes - text.size()));
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  return text;
}

}  // namespace acrn::test
