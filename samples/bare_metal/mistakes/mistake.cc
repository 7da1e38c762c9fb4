#include "mistakes/mistake.h"

#include "open_disk.h"

extern "C" void kernel_main() {
  Disk& disk = open_disk(0);
  wrong(disk);
  disk.start(0);  // a reset, after which the device has forgotten what it was given
  report("right", right(disk), "the same, done well");
  power_off(all_well());
}
