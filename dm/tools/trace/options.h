// The options of `vblk trace`, as values. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "acrn/base/result.h"
#include "dm/tools/trace/views.h"

namespace acrn {

struct TraceText {
  std::string action, file, argument;
  std::string queue, type, from, to, speed = "1";
  bool errors = false;
};

enum class TraceAction : uint8_t { kShow, kChain, kStats, kHtml, kReplay, kFio };
inline constexpr std::array<std::string_view, 6> kTraceActionNames{"show", "chain", "stats", "html", "replay", "fio"};

struct TraceOptions {
  TraceAction action = TraceAction::kShow;
  std::string file;
  uint64_t number = 0;   // chain: of a request, from 1
  std::string fio_file;  // fio: what it is to work on
  double speed = 1;      // replay: times as fast; 0: as fast as it goes
  TraceFilter filter;
  bool json = false;
};
Result<TraceOptions> parse_trace_options(const TraceText& text, bool json);

}  // namespace acrn
