#include "dm/base/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace acrn {
namespace {

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR, kTruncate = uint64_t{1} << 14,
                   kWrite = LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate, kRun = LANDLOCK_ACCESS_FS_EXECUTE,
                   kOther = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                            LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                            LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                            LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
// What makes sense for what is no folder.
constexpr uint64_t kOfFiles = LANDLOCK_ACCESS_FS_READ_FILE | kWrite | kRun;

uint64_t bits_of(LandlockRules::Access access) {
  switch (access) {
    case LandlockRules::Access::kRead: return kRead;
    case LandlockRules::Access::kRun: return kRead | kRun;
    case LandlockRules::Access::kRemove: return LANDLOCK_ACCESS_FS_REMOVE_FILE;
    case LandlockRules::Access::kReadWrite: break;
  }
  return kRead | kWrite;
}

}  // namespace

LandlockRules::LandlockRules() {
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled_ = kRead | kWrite | kRun | kOther;
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 3) attributes.handled_access_fs = handled_ &= ~kTruncate;  // Linux 6.2
  rules_ = UniqueFd(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0)));
}

void LandlockRules::allow(const std::string& path, Access access) {
  if (!rules_) return;
  const UniqueFd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat kind;
  if (!file || ::fstat(file.fd(), &kind) != 0) return;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = bits_of(access) & handled_ & (S_ISDIR(kind.st_mode) ? ~uint64_t{0} : kOfFiles);
  rule.parent_fd = file.fd();
  ::syscall(SYS_landlock_add_rule, rules_.fd(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

bool LandlockRules::restrict_self(int rules) {
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}

}  // namespace acrn
