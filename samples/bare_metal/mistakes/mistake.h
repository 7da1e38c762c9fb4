// Shared by the mistakes. Each is a kernel of its own, of which it has two functions: the wrong way and the right one.
#pragma once

#include "disk.h"
#include "report.h"

// Called with a disk that was just started, with flags in its ring and neither event index nor indirect descriptors.
void wrong(Disk& disk);
// The same, done well. False: it does not work.
bool right(Disk& disk);

// What a status byte says.
inline const char* name(Status status) {
  switch (status) {
    case Status::kOk: return "status 0, OK";
    case Status::kError: return "status 1, IOERR";
    case Status::kUnsupported: return "status 2, UNSUPP";
    default: return "no status, nothing comes back";
  }
}

// How long the wrong way waits for what may never come.
constexpr uint32_t kPatienceMs = 2000;
