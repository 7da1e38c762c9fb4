// ChildProcess: a program that works for us. It never outlives us, and opens no file but those that it is allowed to.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <latch>
#include <memory>
#include <string>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "dm/base/thread.h"

namespace acrn {

// It is in a folder of $PATH.
bool is_program(const std::string& name);

// Any thread, one at a time.
class ChildProcess {
 public:
  struct Plan {
    std::vector<std::string> command;  // a program of $PATH, and its arguments
    // Beside the programs and libraries of the system.
    std::vector<std::string> read, read_write;
    int listening = -1;  // its descriptor kListening, as systemd gives a listening socket (sd_listen_fds(3))
    int file = -1;       // its descriptor kFile: a file that it may open again, in /proc/self/fd
    int output = -1;     // its standard output; -1: nowhere
  };
  static constexpr int kListening = 3, kFile = 4;
  struct User {
    uid_t user;
    gid_t group;
    std::vector<gid_t> groups;
  };
  // For root, who becomes that user when all is open, and could not end a child of root's then: from now on children
  // are that user's. Before there is another thread.
  static void run_as(User user);
  // Errors: kInternal. That there is no such program shows in its exit status.
  static constexpr int kNoProgram = 127;
  static Result<std::unique_ptr<ChildProcess>> start(const Plan& plan);
  // Ends it by SIGTERM, or where that does not help by SIGKILL, and waits.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Its exit status, or 128 and the number of its signal; -1: it has not ended in that time.
  int wait(std::chrono::milliseconds patience);
  // The last line that it wrote to its standard error since this was asked last.
  std::string last_words();

 private:
  class Words;

  ChildProcess() = default;
  void fork(const Plan& plan, Words& words, int errors);
  void send(int signal) const;

  // It is the child's parent, and lives as long as we do: the kernel takes its end for ours, and ends the child.
  Thread parent_thread_;
  std::latch end_of_parent_{1};
  pid_t process_ = -1;
  UniqueFd handle_;  // a pidfd
  UniqueFd errors_;  // its standard error: a pipe that neither side waits for
  int status_ = -1;
};

// Runs it to its end, and returns what it printed, up to 1 MiB. Errors: as of start(); kUnavailable, there is no such
// program; kNoInput, with its last words, if it fails or takes longer than `patience`.
Result<std::string> output_of(ChildProcess::Plan plan, std::chrono::milliseconds patience);

}  // namespace acrn
