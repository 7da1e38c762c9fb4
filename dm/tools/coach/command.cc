// vblk coach: what to tell the author of a driver.
#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "acrn/base/concat.h"
#include "dm/tools/coach/coach.h"
#include "dm/tools/commands.h"
#include "dm/tools/monitor/monitor_client.h"

namespace acrn {
namespace {

void print(const std::vector<Advice>& all, std::string_view of, bool json) {
  if (json) {
    for (const Advice& advice : all) {
      nlohmann::ordered_json line = to_json(advice);
      line["disk"] = of;
      fmt::print("{}\n", line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    }
    return;
  }
  if (all.empty()) fmt::print("{}: nothing to tell; no rule is broken\n", of);
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
  for (const DiskCounts& disk : sample.value().disks) print(coach(disk), disk.slot, json);
  return {};
}

}  // namespace

Result<void> run_coach(const std::string& place, bool json) {
  if (place.empty()) return Error{ErrorKind::kUsage, "coach: give a trace, or the socket of --cmd_monitor"};
  struct stat status {};
  if (::stat(place.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) return coach_machine(place, json);
  auto trace = Trace::load(place);
  if (!trace) return trace.error();
  print(coach(trace.value()), trace.value().slot(), json);
  return {};
}

}  // namespace acrn
