#include "dm/sandbox/sandbox_user.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {

Result<SandboxUser> SandboxUser::find(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> room;
  if (::getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) {
    return Error{ErrorKind::kUsage,
                 concat("--user ", name, ": there is no such user; give one of this host, like --user nobody")};
  }
  SandboxUser user{.name = name, .user = found->pw_uid, .group = found->pw_gid, .groups = {}};
  int count = 64;
  user.groups.resize(static_cast<size_t>(count));
  if (::getgrouplist(name.c_str(), user.group, user.groups.data(), &count) < 0) count = 0;
  user.groups.resize(static_cast<size_t>(count));
  if (::geteuid() == 0 || (::getuid() == user.user && ::geteuid() == user.user)) return user;
  return Error{ErrorKind::kUsage,
               concat("--user ", name, ": only root can become another user; start it as root, or leave it out")};
}

// The C library's calls, which are for all threads.
Result<void> SandboxUser::become() const {
  if (::geteuid() != 0) return {};  // we are that user
  if (::setgroups(groups.size(), groups.data()) == 0 && ::setresgid(group, group, group) == 0 &&
      ::setresuid(user, user, user) == 0) {
    return {};
  }
  return Error{ErrorKind::kInternal, concat("--user ", name, ": ", errno_text(errno))};
}

}  // namespace acrn
