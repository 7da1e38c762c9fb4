// acrn-dm --serve vhost-user, as a process. For a test that is compiled with ACRN_DM, the program's path.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

namespace acrn::test {

// It serves a disk at <folder>/vm1.9.0.sock until it ends or is ended.
class ServerProcess {
 public:
  ServerProcess(const TempDir& folder, const std::string& options) {
    const std::string serve = "vhost-user=" + folder.path(""), slot = "9,virtio-blk," + options;
    pid_ = ::fork();
    EXPECT(pid_ >= 0);
    if (pid_ == 0) {
      ::execl(ACRN_DM, "acrn-dm", "--serve", serve.c_str(), "-s", slot.c_str(), "vm1", nullptr);
      ::_exit(127);
    }
  }
  ~ServerProcess() { end(SIGKILL); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Its exit status; -1 if the signal killed it.
  int end(int number) {
    if (pid_ == 0) return 0;
    ::kill(pid_, number);
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = 0;
};

}  // namespace acrn::test
