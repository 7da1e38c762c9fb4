// --user: who the process becomes once everything is open.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "acrn/base/result.h"

namespace acrn {

struct SandboxUser {
  std::string name;
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;  // all of them

  // Whether this process may become that user. Errors: kUsage, with the option.
  static Result<SandboxUser> find(const std::string& name);
  // All threads. Errors: kInternal.
  Result<void> become() const;
};

}  // namespace acrn
