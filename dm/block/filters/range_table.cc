#include "dm/block/filters/range_table.h"

namespace acrn {
namespace {

bool exclude(const RangeHold& a, const RangeHold& b) {
  return (a.exclusive || b.exclusive) && a.begin < b.end && b.begin < a.end;
}

}  // namespace

void RangeList::push(RangeHold& hold) {
  RangeHold** link = &head_;
  while (*link != nullptr) link = &(*link)->next;
  hold.next = nullptr;
  *link = &hold;
}

void RangeList::remove(RangeHold& hold) {
  RangeHold** link = &head_;
  while (*link != &hold) link = &(*link)->next;
  *link = std::exchange(hold.next, nullptr);
}

bool RangeTable::acquire(RangeHold& hold) {
  MutexLock lock(mutex_);
  hold.next_granted = nullptr;
  waiting_.push(hold);
  if (conflicts(hold)) return false;
  waiting_.remove(hold);
  held_.push(hold);
  return true;
}

// With what is held, and with what waits before it: otherwise a stream of small writes starves a large one.
bool RangeTable::conflicts(const RangeHold& hold) const {
  for (const RangeHold* other = held_.front(); other != nullptr; other = other->next) {
    if (exclude(hold, *other)) return true;
  }
  for (const RangeHold* other = waiting_.front(); other != &hold; other = other->next) {
    if (exclude(hold, *other)) return true;
  }
  return false;
}

void RangeTable::release(RangeHold& hold) {
  MutexLock lock(mutex_);
  held_.remove(hold);
  for (RangeHold* waiter = waiting_.front(); waiter != nullptr;) {
    RangeHold& candidate = *std::exchange(waiter, waiter->next);
    if (conflicts(candidate)) continue;
    waiting_.remove(candidate);
    held_.push(candidate);
    RangeHold** link = &candidate.party->granted;
    while (*link != nullptr) link = &(*link)->next_granted;
    *link = &candidate;
    if (candidate.party != hold.party) candidate.party->notifier->notify();
  }
}

RangeHold* RangeTable::take_granted(RangeParty& party) {
  MutexLock lock(mutex_);
  return std::exchange(party.granted, nullptr);
}

}  // namespace acrn
