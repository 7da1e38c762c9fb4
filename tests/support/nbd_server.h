// An NBD server of Debian's, as a process that serves at a socket in a folder of its own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

namespace acrn::test {

class NbdServer {
 public:
  // `command`: a program and its arguments, in which "SOCKET" is the socket's path.
  explicit NbdServer(std::vector<std::string> command) : command_(std::move(command)) {
    for (std::string& word : command_) {
      if (word == "SOCKET") word = socket();
    }
    start();
  }
  ~NbdServer() { end(SIGKILL); }
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;

  // As memory, of nbdkit, through its filters.
  static std::vector<std::string> memory(const std::string& size, const std::vector<std::string>& filters = {},
                                         const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> command{"nbdkit", "--foreground", "--exit-with-parent", "--unix", "SOCKET"};
    for (const std::string& filter : filters) command.push_back("--filter=" + filter);
    command.insert(command.end(), {"memory", size});
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  // A file, of qemu-nbd.
  static std::vector<std::string> file(const std::string& path, const std::string& format = "raw") {
    return {"qemu-nbd", "--persistent", "--shared=8", "--discard=unmap", "--socket=SOCKET", "--format=" + format, path};
  }

  std::string socket() const { return folder_.path("nbd.sock"); }
  std::string uri() const { return "nbd+unix:///?socket=" + socket(); }

  void start() {
    ::unlink(socket().c_str());
    std::vector<char*> words;
    for (std::string& word : command_) {
      if (word == "--socket=SOCKET") word = "--socket=" + socket();
      words.push_back(word.data());
    }
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
  void end(int number) {
    if (pid_ == 0) return;
    ::kill(pid_, number);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  const TempDir folder_;
  std::vector<std::string> command_;
  pid_t pid_ = 0;
};

}  // namespace acrn::test
