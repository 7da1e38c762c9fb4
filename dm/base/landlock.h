// LandlockRules: which files a process of ours may open, as Linux's Landlock takes it (landlock(7)).
#pragma once

#include <cstdint>
#include <string>

#include "acrn/base/unique_fd.h"

namespace acrn {

class LandlockRules {
 public:
  enum class Access : uint8_t { kRead, kReadWrite, kRun };

  // Nothing is allowed yet. Without Landlock in the host nothing is forbidden either, and fd() is -1.
  LandlockRules();
  // That file, or all below that folder: to read; to write, too; to read and run. What does not exist is left out.
  void allow(const std::string& path, Access access);
  int fd() const { return rules_.fd(); }

  // For a child between fork and exec: from now on these rules hold, for good. False, with errno.
  static bool restrict_self(int rules);

 private:
  UniqueFd rules_;
  uint64_t handled_ = 0;  // what these rules are about
};

}  // namespace acrn
