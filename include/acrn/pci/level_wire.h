// LevelWire: keeps an interrupt wire at the level that some state asks for. Any thread. Its lock is held across the
// pin's set_level() and nothing else.
#pragma once

#include <functional>
#include <utility>

#include "acrn/base/one_at_a_time.h"
#include "acrn/pci/pci_function.h"

namespace acrn {

class LevelWire {
 public:
  // `wanted` computes the level from the state; any thread.
  LevelWire(IrqPin& pin, std::function<bool()> wanted) : pin_(pin), wanted_(std::move(wanted)) {}

  // To be called after each change of that state. On return the wire has the new level.
  void update() {
    // Levels cannot reach the pin out of order: one caller at a time drives it.
    driver_.run([this] {
      const bool level = wanted_();
      if (level != driven_) {
        driven_ = level;
        pin_.set_level(level);
      }
    });
  }

 private:
  IrqPin& pin_;
  std::function<bool()> wanted_;
  OneAtATime driver_;
  bool driven_ = false;  // inside driver_ only
};

}  // namespace acrn
