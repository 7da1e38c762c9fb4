// LevelWire: keeps an interrupt wire at the level that some state asks for. Any thread; takes no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "acrn/pci/pci_function.h"

namespace acrn {

class LevelWire {
 public:
  // `wanted` computes the level from the state; any thread.
  LevelWire(IrqPin& pin, std::function<bool()> wanted) : pin_(pin), wanted_(std::move(wanted)) {}

  // To be called after each change of that state. On return the wire has the new level, or another thread that
  // is inside update() is about to give it that.
  void update() {
    // One caller drives the wire; others leave word and go on, so levels cannot reach the pin out of order.
    // acq_rel pairs with the fetch_sub below: the driver sees the state that a leaver changed.
    if (changes_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
    uint32_t served;
    do {
      served = changes_.load(std::memory_order_acquire);
      const bool level = wanted_();
      if (level != driven_) {
        driven_ = level;
        pin_.set_level(level);
      }
    } while (changes_.fetch_sub(served, std::memory_order_acq_rel) != served);
  }

 private:
  IrqPin& pin_;
  std::function<bool()> wanted_;
  std::atomic<uint32_t> changes_{0};  // calls of update() that are not yet served
  bool driven_ = false;               // only whoever raised changes_ from 0
};

}  // namespace acrn
