#include "dm/tools/held_signals.h"

#include <atomic>

namespace acrn {
namespace {

// The one that has come. Relaxed: it pairs with nothing, since it says nothing of other memory.
std::atomic<int> first{0};

void hold(int number) {
  int none = 0;
  first.compare_exchange_strong(none, number, std::memory_order_relaxed);
}

void hold_one(int number) {
  int none = 0;
  if (first.compare_exchange_strong(none, number, std::memory_order_relaxed)) return;
  ::signal(number, SIG_DFL);
  ::raise(number);
}

}  // namespace

HeldSignals::HeldSignals(Second second) {
  first.store(0, std::memory_order_relaxed);
  struct sigaction note {};
  note.sa_handler = second == Second::kIsHeld ? hold : hold_one;
  note.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); i++) {
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &note, nullptr);
  }
}

HeldSignals::~HeldSignals() {
  for (size_t i = 0; i < kSignals.size(); i++) ::sigaction(kSignals[i], &before_[i], nullptr);
  if (const int number = first.exchange(0, std::memory_order_relaxed); number != 0) ::raise(number);
}

int HeldSignals::came() { return first.load(std::memory_order_relaxed); }

}  // namespace acrn
