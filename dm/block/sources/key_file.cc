#include "dm/block/sources/key_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr off_t kMost = 64 << 10;  // bytes

}  // namespace

std::string why_no_key_file(const std::string& path) {
  struct stat status {};
  if (::access(path.c_str(), R_OK) != 0 || ::stat(path.c_str(), &status) != 0) return errno_text(errno);
  if (!S_ISREG(status.st_mode)) return "not a regular file; give one with the key";
  return status.st_size <= kMost ? "" : "more than 64 KiB; give a file with the key alone";
}

}  // namespace acrn
