// Time by the time stamp counter. How fast that counts is measured against the interval timer (8254).
#pragma once

#include <stdint.h>

#include "cpu.h"

// Once, before the others.
void measure_clock();
uint32_t cycles_per_ms();
// Up to an hour.
uint32_t microseconds(uint64_t cycles);

// Looks until the condition holds. False: it does not, after that many milliseconds.
template <typename Condition>
bool wait_ms(uint32_t limit, Condition condition) {
  const uint64_t begin = cycles();
  while (!condition()) {
    if (cycles() - begin > uint64_t(limit) * cycles_per_ms()) return condition();
    pause();
  }
  return true;
}
