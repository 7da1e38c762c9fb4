// What `vblk trace` prints of a trace. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "dm/tools/trace/trace_file.h"

namespace acrn {

// Which records are shown.
struct TraceFilter {
  std::optional<unsigned> queue;
  std::optional<std::string> type;  // of the request, as request_type() calls it
  bool errors = false;              // what is wrong alone
  double from = 0, to = 1e12;       // seconds since the trace began

  bool matches(const Trace& trace, const TraceItem& item) const;
};

// One line for a record, or the same as JSON.
std::string trace_line(const Trace& trace, const TraceItem& item);
nlohmann::ordered_json trace_json(const Trace& trace, const TraceItem& item);

// A descriptor of a chain, and what is wrong there: the rule that its address breaks, and with the last one all the
// rest.
struct ChainRow {
  uint32_t index = 0;  // of the ring's table, or of an indirect one
  bool in_table = false;
  VringDesc desc;
  std::vector<const TraceItem*> errors;
};
std::vector<ChainRow> chain_rows(const Trace& trace, const TracedRequest& request);

// The driver has made the device look at its ring.
bool is_kick(const TraceItem& item);

// Of so many times the one that the fraction `part` of them is not above; 0 without any. Their order changes.
double quantile_of(std::vector<uint64_t>& times, double part);

// A chain, drawn; what is wrong with it stands where it is. `unicode`: arrows and lines may be used.
std::vector<std::string> draw_chain(const Trace& trace, const TracedRequest& request, bool unicode);

// The rules that a request breaks, each once.
std::vector<const TraceItem*> errors_of(const Trace& trace, uint32_t request);

// Counts and times of the whole trace.
nlohmann::ordered_json trace_stats(const Trace& trace);
std::vector<std::string> trace_stats_lines(const Trace& trace);

}  // namespace acrn
