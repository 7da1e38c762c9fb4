// The options of `vblk trace`, as values. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "dm/tools/trace/views.h"

namespace acrn {

struct TraceText {
  std::string action, file, number;
  std::string queue, type, from, to;
  bool errors = false;
};

enum class TraceAction : uint8_t { kShow, kChain, kStats };
inline constexpr std::array<std::string_view, 3> kTraceActionNames{"show", "chain", "stats"};

struct TraceOptions {
  TraceAction action = TraceAction::kShow;
  std::string file;
  uint64_t number = 0;  // of a request, from 1
  TraceFilter filter;
  bool json = false;
};
Result<TraceOptions> parse_trace_options(const TraceText& text, bool json);

}  // namespace acrn
