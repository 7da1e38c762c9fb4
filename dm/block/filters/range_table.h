// RangeTable: which bytes of a disk are being modified, for writes that must read a block before they can
// write a part of it. A read-modify-write holds its range alone; other modifications of the range may overlap
// each other, but not it. A modification that cannot have its range yet waits; first come, first served. One table per
// disk, shared by its channels; any thread.
#pragma once

#include <cstdint>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/event/event_loop.h"

namespace acrn {

struct RangeParty;

// One modification. Its owner keeps it alive and in place from acquire() to release().
struct RangeHold {
  uint64_t begin = 0, end = 0;  // bytes, [begin, end)
  bool exclusive = false;
  RangeParty* party = nullptr;
  void* owner = nullptr;              // the party's own
  RangeHold* next = nullptr;          // on the table's list of held or of waiting ranges
  RangeHold* next_granted = nullptr;  // as take_granted() returns them
};

class RangeList {
 public:
  RangeHold* front() const { return head_; }
  void push(RangeHold& hold);
  void remove(RangeHold& hold);

 private:
  RangeHold* head_ = nullptr;
};

// A channel, as the table knows it. `notifier` is to run take_granted() on the channel's loop. Before a party
// goes, it calls take_granted() once more after its last release(): then nobody is about to notify it.
struct RangeParty {
  Notifier* notifier = nullptr;
  RangeHold* granted = nullptr;  // under the table's lock
};

class RangeTable {
 public:
  // True: the range is held. False: it will turn up in the party's take_granted().
  bool acquire(RangeHold& hold) ACRN_EXCLUDES(mutex_);
  // Those of the same party that can go on now are in its take_granted() without a notification.
  void release(RangeHold& hold) ACRN_EXCLUDES(mutex_);
  // The holds that had to wait and have been granted since the last call, linked by next_granted.
  RangeHold* take_granted(RangeParty& party) ACRN_EXCLUDES(mutex_);

 private:
  bool conflicts(const RangeHold& hold) const ACRN_REQUIRES(mutex_);

  Mutex mutex_;  // leaf; Notifier::notify() takes none
  RangeList held_ ACRN_GUARDED_BY(mutex_);
  RangeList waiting_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
