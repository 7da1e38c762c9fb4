// vblk trace: what a driver did, from a file that trace=<file> has made.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/tools/commands.h"
#include "dm/tools/monitor/screen.h"
#include "dm/tools/trace/views.h"

namespace acrn {
namespace {

void print_json(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

void show(const Trace& trace, const TraceOptions& options) {
  for (const TraceItem& item : trace.items()) {
    if (!options.filter.matches(trace, item)) continue;
    options.json ? print_json(trace_json(trace, item)) : fmt::print("{}\n", trace_line(trace, item));
  }
}

Result<void> show_chain(const Trace& trace, const TraceOptions& options) {
  if (options.number > trace.requests().size()) {
    return Error{ErrorKind::kUsage, concat("trace chain ", options.number, ": the trace has ", trace.requests().size(),
                                           " requests; give the number of one")};
  }
  const TracedRequest& request = trace.requests()[options.number - 1];
  if (options.json) {
    print_json(trace_json(trace, trace.items()[request.chain]));
    return {};
  }
  for (const std::string& line : draw_chain(trace, request, output_is_unicode())) fmt::print("{}\n", line);
  return {};
}

void show_stats(const Trace& trace, const TraceOptions& options) {
  if (options.json) return print_json(trace_stats(trace));
  for (const std::string& line : trace_stats_lines(trace)) fmt::print("{}\n", line);
}

}  // namespace

Result<void> run_trace(const TraceOptions& options) {
  auto trace = Trace::load(options.file);
  if (!trace) return trace.error();
  if (!trace.value().damage().empty() && options.action != TraceAction::kStats) {
    fmt::print(stderr, "vblk: {}: {}; what is before it is shown\n", options.file, trace.value().damage());
  }
  switch (options.action) {
    case TraceAction::kShow: show(trace.value(), options); break;
    case TraceAction::kChain: return show_chain(trace.value(), options);
    case TraceAction::kStats: show_stats(trace.value(), options); break;
  }
  return {};
}

}  // namespace acrn
