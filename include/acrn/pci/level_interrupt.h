// LevelInterrupt: keeps an interrupt pin at the level that some state asks for. Any thread. Its lock is held across the
// pin's set_level() and nothing else.
#pragma once

#include <functional>
#include <utility>

#include "acrn/base/mutex.h"
#include "acrn/pci/pci_function.h"

namespace acrn {

class LevelInterrupt {
 public:
  // `wanted` computes the level from the state; any thread.
  LevelInterrupt(IrqPin& pin, std::function<bool()> wanted) : pin_(pin), wanted_(std::move(wanted)) {}

  // To be called after each change of that state. On return the pin has the new level.
  void update() {
    // Each caller computes and drives the level itself, so that levels reach the pin in order and no caller is kept by
    // others that go on asking.
    MutexLock lock(mutex_);
    const bool level = wanted_();
    if (level != driven_) {
      driven_ = level;
      pin_.set_level(level);
    }
  }

 private:
  IrqPin& pin_;
  std::function<bool()> wanted_;
  Mutex mutex_;  // before leaves
  bool driven_ ACRN_GUARDED_BY(mutex_) = false;
};

}  // namespace acrn
