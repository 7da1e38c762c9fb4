// The beginning of a kernel that does one thing with one disk.
#pragma once

#include "disk.h"

// The first disk, started with what is offered of these features. Without one the machine is turned off.
Disk& open_disk(uint32_t wanted);
