// IntxLine: keeps an INTA# wire at the level that the function's state asks for. Any thread; takes no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "acrn/pci/pci_function.h"

namespace acrn {

class IntxLine {
 public:
  // `wanted` computes the level from the function's state; any thread.
  IntxLine(IrqPin& pin, std::function<bool()> wanted) : pin_(pin), wanted_(std::move(wanted)) {}

  // To be called after each change of that state. On return the wire has the new level, or another thread that
  // is inside update() is about to give it that.
  void update();

 private:
  IrqPin& pin_;
  std::function<bool()> wanted_;
  std::atomic<uint32_t> changes_{0};  // calls of update() that are not yet served
  bool driven_ = false;               // only whoever raised changes_ from 0
};

}  // namespace acrn
