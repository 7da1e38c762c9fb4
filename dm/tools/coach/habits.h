// What drivers do that is allowed and slow, with what it costs in a trace. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "dm/tools/coach/coach.h"

namespace acrn {

// Of fewer requests a habit may be an accident.
inline constexpr uint64_t kEnoughForHabits = 100;

void add_habits(const Trace& trace, std::vector<Advice>& all);

}  // namespace acrn
