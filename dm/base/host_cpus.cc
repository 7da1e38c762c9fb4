#include "dm/base/host_cpus.h"

#include <sched.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

std::string online_cpus() {
  std::string list;
  std::ifstream("/sys/devices/system/cpu/online") >> list;
  return list;
}

bool may_run_on(unsigned cpu) {
  if (cpu >= CPU_SETSIZE) return false;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  return ::sched_setaffinity(0, sizeof(one), &one) == 0;
}

}  // namespace

Result<void> check_host_cpus(std::span<const unsigned> cpus, std::string_view option) {
  cpu_set_t before;
  CPU_ZERO(&before);
  if (::sched_getaffinity(0, sizeof(before), &before) != 0) {
    return Error{ErrorKind::kInternal, concat("sched_getaffinity: ", errno_text(errno))};
  }
  Result<void> result;
  for (const unsigned cpu : cpus) {
    if (may_run_on(cpu)) continue;
    result = Error{ErrorKind::kUsage,
                   concat(option, ": there is no host CPU ", cpu, " for us; the host has ", online_cpus())};
    break;
  }
  ::sched_setaffinity(0, sizeof(before), &before);
  return result;
}

}  // namespace acrn
