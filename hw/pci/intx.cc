#include "hw/pci/intx.h"

namespace acrn {

void IntxLine::update() {
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

}  // namespace acrn
