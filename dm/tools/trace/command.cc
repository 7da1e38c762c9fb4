// vblk trace: what a driver did, from a file that trace=<file> has made.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/tools/commands.h"
#include "dm/tools/monitor/cells.h"
#include "dm/tools/monitor/screen.h"
#include "dm/tools/trace/html_page.h"
#include "dm/tools/trace/replay.h"
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

void print_replay(const Trace& trace, const std::vector<TracedOperation>& operations, ReplayResult& result, bool json) {
  std::vector<uint64_t> before;
  for (const TracedRequest& request : trace.requests()) {
    if (request.done != 0 && request.bytes != 0) before.push_back(request.done - request.taken);
  }
  const double seconds = operations.empty() ? 0 : static_cast<double>(operations.back().time) / 1e9;
  if (json) {
    return print_json({{"done", result.done},
                       {"failed", result.failed},
                       {"skipped", result.skipped},
                       {"seconds", result.seconds},
                       {"p50_ns", quantile_of(result.times, 0.5)},
                       {"p99_ns", quantile_of(result.times, 0.99)},
                       {"traced_seconds", seconds},
                       {"traced_p50_ns", quantile_of(before, 0.5)},
                       {"traced_p99_ns", quantile_of(before, 0.99)}});
  }
  fmt::print("{:<8}{:>10}{:>8}{:>9}{:>10}{:>10}{:>10}\n", "", "done", "failed", "skipped", "seconds", "p50", "p99");
  fmt::print("{:<8}{:>10}{:>8}{:>9}{:>10.3f}{:>10}{:>10}\n", "trace", operations.size(), "", "", seconds,
             short_time(quantile_of(before, 0.5)), short_time(quantile_of(before, 0.99)));
  fmt::print("{:<8}{:>10}{:>8}{:>9}{:>10.3f}{:>10}{:>10}\n", "replay", result.done, result.failed, result.skipped,
             result.seconds, short_time(quantile_of(result.times, 0.5)), short_time(quantile_of(result.times, 0.99)));
}

// The sectors that the trace writes are overwritten.
Result<void> replay_on(const SessionOptions& session, const Trace& trace, const TraceOptions& options) {
  const std::vector<TracedOperation> operations = operations_of(trace);
  uint64_t largest = 4096;
  for (const TracedOperation& each : operations) {
    if (each.op == BlockOp::kRead || each.op == BlockOp::kWrite) largest = std::max(largest, each.length);
  }
  constexpr uint64_t kBuffers = uint64_t{512} << 20, kRest = uint64_t{64} << 20;  // bytes
  constexpr uint64_t kMostInFlight = 64;
  if (largest > kBuffers) {
    return Error{ErrorKind::kUsage,
                 concat("trace replay: a request of ", largest, " bytes; at most ", kBuffers, " can be replayed")};
  }
  const uint64_t depth = std::min(kMostInFlight, kBuffers / largest);
  SessionOptions with_memory = session;
  with_memory.ram = depth * largest + kRest;
  auto opened = Session::open(with_memory, 1);
  if (!opened) return opened.error();
  DriverOptions driver_options = session.driver();
  driver_options.depth = static_cast<unsigned>(depth);
  driver_options.max_bytes = static_cast<uint32_t>(largest);
  driver_options.features &= ~feature(VIRTIO_BLK_F_MQ);  // one queue is used
  auto driver = opened.value()->drive(0, driver_options);
  if (!driver) return driver.error();
  auto result = replay(operations, options.speed, *driver.value());
  if (!result) return result.error();
  // A request that has not come to the disk cannot come again.
  const auto requests = trace.requests();
  result.value().skipped += static_cast<uint64_t>(
      std::count_if(requests.begin(), requests.end(), [](const TracedRequest& each) { return each.errors != 0; }));
  print_replay(trace, operations, result.value(), options.json);
  if (result.value().failed == 0) return {};
  return Error{ErrorKind::kIo, concat("trace replay: ", result.value().failed, " requests failed")};
}

}  // namespace

Result<void> run_trace(const SessionOptions& session, const TraceOptions& options) {
  auto trace = Trace::load(options.file);
  if (!trace) return trace.error();
  if (!trace.value().damage().empty() && options.action != TraceAction::kStats) {
    fmt::print(stderr, "vblk: {}: {}; what is before it is shown\n", options.file, trace.value().damage());
  }
  switch (options.action) {
    case TraceAction::kShow: show(trace.value(), options); break;
    case TraceAction::kChain: return show_chain(trace.value(), options);
    case TraceAction::kStats: show_stats(trace.value(), options); break;
    case TraceAction::kHtml: fmt::print("{}", trace_page(trace.value())); break;
    case TraceAction::kReplay: return replay_on(session, trace.value(), options);
    case TraceAction::kFio: fmt::print("{}", fio_log(operations_of(trace.value()), options.fio_file)); break;
  }
  return {};
}

}  // namespace acrn
