#include "clock.h"

namespace {

constexpr uint16_t kChannel2 = 0x42, kMode = 0x43, kGate = 0x61;
constexpr uint8_t kGateOn = 0x01, kSpeaker = 0x02, kOutput = 0x20;
constexpr uint32_t kTimerHz = 1193182;
constexpr uint32_t kMeasuredMs = 10;

uint32_t cycles_of_a_ms;

}  // namespace

void measure_clock() {
  // Channel 2 has a gate that we open and an output that we can read: no interrupt is needed.
  const auto gate = static_cast<uint8_t>(in8(kGate) & ~(kGateOn | kSpeaker));
  out8(kGate, gate);
  out8(kMode, 0xb0);  // channel 2, both bytes, mode 0: the output rises when the count has reached 0
  constexpr uint32_t kCount = kTimerHz * kMeasuredMs / 1000;
  out8(kChannel2, kCount & 0xff);
  out8(kChannel2, kCount >> 8);
  out8(kGate, gate | kGateOn);
  const uint64_t begin = cycles();
  while ((in8(kGate) & kOutput) == 0) pause();
  cycles_of_a_ms = divide(cycles() - begin, kMeasuredMs);
}

uint32_t cycles_per_ms() { return cycles_of_a_ms; }

uint32_t microseconds(uint64_t cycles) { return divide(cycles * 1000, cycles_of_a_ms); }
