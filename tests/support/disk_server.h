// A program that serves a disk at a socket in a folder of its own.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

namespace acrn::test {

class DiskServer {
 public:
  // `command`: a program and its arguments, in which "SOCKET" stands for the socket's path and "FOLDER" for its folder.
  explicit DiskServer(std::vector<std::string> command, std::string name = "disk.sock")
      : command_(std::move(command)), name_(std::move(name)) {
    for (std::string& word : command_) {
      replace(word, "SOCKET", socket());
      replace(word, "FOLDER", folder_.path(""));
    }
    start();
  }
  ~DiskServer() { end(SIGKILL); }
  DiskServer(const DiskServer&) = delete;
  DiskServer& operator=(const DiskServer&) = delete;

  std::string socket() const { return folder_.path(name_); }

  void start() {
    ::unlink(socket().c_str());
    std::vector<char*> words;
    for (std::string& word : command_) words.push_back(word.data());
    words.push_back(nullptr);
    pid_ = ::fork();
    EXPECT(pid_ >= 0);
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int nowhere = ::open("/dev/null", O_RDWR);
      for (const int fd : {0, 1, 2}) ::dup2(nowhere, fd);
      ::execvp(words[0], words.data());
      ::_exit(127);
    }
    bool ended = false;
    int status = 0;
    EXPECT(wait_until([&] {
      ended = ::waitpid(pid_, &status, WNOHANG) == pid_;
      return ended || connect_to(socket());
    }));
    if (!ended) return;
    pid_ = 0;
    EXPECT_EQ(WEXITSTATUS(status), 127);  // else it does not like its arguments
    SKIP(command_[0]);
  }
  void signal(int number) const { ::kill(pid_, number); }
  pid_t process() const { return pid_; }
  void end(int number) {
    if (pid_ == 0) return;
    ::kill(pid_, number);
    if (!has_ended()) ::kill(pid_, SIGKILL);  // one of nbdkit's now and then waits for an idle client first
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  // Soon.
  bool has_ended() const {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd ended{process.fd(), POLLIN, 0};
    return ::poll(&ended, 1, 5000) > 0;
  }
  static void replace(std::string& word, const std::string& what, const std::string& by) {
    if (const size_t at = word.find(what); at != std::string::npos) word.replace(at, what.size(), by);
  }

  const TempDir folder_;
  std::vector<std::string> command_;
  const std::string name_;
  pid_t pid_ = 0;
};

}  // namespace acrn::test
