// What drivers do that is allowed and slow, with what it costs in a trace. Pure.
#pragma once

#include <vector>

#include "dm/tools/coach/coach.h"

namespace acrn {

// Of the habits that are seen in at least a hundred requests, and so are no accident.
void add_habits(const Trace& trace, std::vector<Advice>& all);

}  // namespace acrn
