// Checks: a command that is run on images, several at a time, each for so long at most. A signal that would
// end the process ends a wait for them instead.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "acrn/base/result.h"

namespace acrn {

// A command for a shell: each % is the image, and %% is a %.
std::string with_image(const std::string& command, const std::string& image);

// SIGCHLD and the signals that would end the process wait for wait(), from now on.
class AwaitedSignals {
 public:
  AwaitedSignals();
  ~AwaitedSignals();
  AwaitedSignals(const AwaitedSignals&) = delete;
  AwaitedSignals& operator=(const AwaitedSignals&) = delete;

  const sigset_t& before() const { return before_; }
  // For one of them, or a child that has ended. Which, or 0.
  int wait() const;

 private:
  sigset_t blocked_, before_;
};

// One in a process: it waits for the process's children. One thread.
class Checks {
 public:
  struct Ended {
    std::string image;
    int status = 0;    // of the command; 128 and its number: a signal's
    std::string said;  // the last lines that it wrote

    bool passed() const { return status == 0; }
    // "exit status 4: <its last line>"
    std::string why() const;
  };

  // `command` is for a shell, with % for the image.
  Checks(std::string command, unsigned seconds, const AwaitedSignals& signals);
  ~Checks();  // ends what runs
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;

  size_t running() const { return running_.size(); }
  // What it says goes to <image>.said. Errors: kInternal.
  Result<void> start(const std::string& image);
  // For one that runs. Errors: kUsage: the command cannot be run; kInternal: a signal wants the process to end.
  Result<Ended> wait();

 private:
  Result<pid_t> wait_for_child(int& status);

  const std::string command_, seconds_;
  const AwaitedSignals& signals_;
  int signal_ = 0;  // that wants the process to end
  std::map<pid_t, std::string> running_;
};

}  // namespace acrn
