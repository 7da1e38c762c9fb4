// `vblk trace html`: a trace as one page that needs nothing besides itself. Pure.
#pragma once

#include <string>
#include <string_view>

#include "dm/tools/trace/trace_file.h"

namespace acrn {

std::string trace_page(const Trace& trace);

extern const std::string_view kTracePageStyle, kTracePageScript;  // page.css, page.js

}  // namespace acrn
