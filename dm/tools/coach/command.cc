// vblk coach: what to tell the author of a driver.
#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/tools/coach/coach.h"
#include "dm/tools/coach/habits.h"
#include "dm/tools/commands.h"
#include "dm/tools/monitor/monitor_client.h"

namespace acrn {
namespace {

// `nothing`: what is said where there is no advice.
void print(const std::vector<Advice>& all, std::string_view of, std::string_view nothing, bool json) {
  if (json) {
    for (const Advice& advice : all) {
      nlohmann::ordered_json line = to_json(advice);
      line["disk"] = of;
      fmt::print("{}\n", line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    }
    return;
  }
  if (all.empty()) fmt::print("{}: {}\n", of, nothing);
  for (const Advice& advice : all) {
    for (const std::string& line : advice_lines(advice)) fmt::print("{}\n", line);
    fmt::print("\n");
  }
}

Result<void> coach_machine(const std::string& socket, bool json) {
  auto client = MonitorClient::connect("coach", socket);
  if (!client) return client.error();
  auto sample = client.value().take();
  if (!sample) return sample.error();
  for (const DiskCounts& disk : sample.value().disks) print(coach(disk), disk.slot, "no rule is broken", json);
  return {};
}

// A trace without advice may have too little to judge by.
std::string nothing_wrong(const Trace& trace) {
  const size_t requests = trace.requests().size();
  if (trace.items().empty()) return "the driver has not touched the device";
  if (requests == 0) return "no request has come; vblk trace show has what the driver did before";
  if (requests < kEnoughForHabits)
    return concat("no rule is broken; for what is slow ", kEnoughForHabits, " requests are wanted, and there are ",
                  requests);
  return "no rule is broken, and nothing is slow for no reason";
}

}  // namespace

Result<void> run_coach(const std::string& place, bool json) {
  if (place.empty()) return Error{ErrorKind::kUsage, "coach: give a trace, or the socket of --cmd_monitor"};
  struct stat status {};
  if (::stat(place.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) return coach_machine(place, json);
  auto trace = Trace::load(place);
  if (!trace) return trace.error();
  if (!trace.value().damage().empty()) {
    fmt::print(stderr, "vblk: {}: {}; what is before it is judged\n", place, trace.value().damage());
  }
  print(coach(trace.value()), trace.value().slot(), nothing_wrong(trace.value()), json);
  return {};
}

}  // namespace acrn
