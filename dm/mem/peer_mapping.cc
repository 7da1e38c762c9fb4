#include "dm/mem/peer_mapping.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

constexpr unsigned kMostMappings = 100'000;  // of an honest process; Linux allows 65530 by default

}  // namespace

bool is_mapped_privately(pid_t process, int fd, uint64_t offset, uint64_t size) {
  struct stat file;
  if (process <= 0 || ::fstat(fd, &file) != 0) return false;
  std::ifstream mappings(concat("/proc/", process, "/maps"));
  bool is_private = false;
  std::string line;
  for (unsigned count = 0; count < kMostMappings && std::getline(mappings, line); count++) {
    // <begin>-<end> rwxs <offset> <major>:<minor> <inode> <path>; proc(5).
    char modes[5];
    unsigned long begin, end, from, inode;
    unsigned major_number, minor_number;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %lx %x:%x %lu", &begin, &end, modes, &from, &major_number, &minor_number,
                    &inode) != 7) {
      continue;
    }
    if (inode != file.st_ino || makedev(major_number, minor_number) != file.st_dev) continue;
    if (from >= offset + size || offset >= from + (end - begin)) continue;
    if (modes[3] == 's') return false;
    is_private = true;
  }
  return is_private;
}

}  // namespace acrn
