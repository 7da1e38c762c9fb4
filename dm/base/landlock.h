// LandlockRules: which files a process or a thread of ours may open, as Linux's Landlock takes it (landlock(7)).
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/unique_fd.h"

namespace acrn {

class LandlockRules {
 public:
  enum class Access : uint8_t { kRead, kReadWrite, kRun, kRemove };

  // Nothing is allowed yet. Without Landlock in the host nothing is forbidden either, and fd() is -1.
  LandlockRules();
  // That file, or all below that folder: to read; to write, too; to read and run. Below that folder: to remove what is
  // no folder. What does not exist is left out.
  void allow(const std::string& path, Access access);
  int fd() const { return rules_.fd(); }

  // For a child between fork and exec, or one thread: from now on these rules hold, for good. Nobody outside can be
  // traced any more. Async-signal-safe. False, with errno.
  static bool restrict_self(int rules);

 private:
  UniqueFd rules_;
  uint64_t handled_ = 0;  // what these rules are about
};

}  // namespace acrn
