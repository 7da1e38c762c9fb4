#include "open_disk.h"

#include "clock.h"
#include "report.h"

Disk& open_disk(uint32_t wanted) {
  measure_clock();
  Disk* const disk = find_disk();
  const char* wrong = disk == nullptr ? "there is no function 1af4:1001 on bus 0" : disk->start(wanted);
  if (wrong != nullptr) {
    report("start", false, wrong);
    power_off(false);
  }
  return *disk;
}
