#include "dm/control/control_event.h"

#include <nlohmann/json.hpp>

#include "acrn/base/errno_name.h"
#include "dm/devices/device_report.h"

namespace acrn {
namespace {

using Json = nlohmann::ordered_json;

// Seconds since 1970, to the millisecond.
double seconds_of(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  return static_cast<double>(since.count()) / 1e3;
}

void add_details(const ControlEvent& event, Json& json) {
  switch (event.kind) {
    case ControlEventKind::kIoError:
      json["operation"] = event.name;
      json["error"] = errno_name(static_cast<int>(event.value));
      json["count"] = event.count;
      return;
    case ControlEventKind::kGuestError:
      json["rule"] = event.name;
      json["value"] = event.value;
      json["count"] = event.count;
      return;
    case ControlEventKind::kQueueStopped:
      json["queue"] = event.value;
      json["count"] = event.count;
      return;
    case ControlEventKind::kHeld:
      json["operation"] = event.name;
      json["error"] = errno_name(static_cast<int>(event.value));
      json["held"] = event.count;
      return;
    case ControlEventKind::kOverdue:
      json["operation"] = event.name;
      json["milliseconds"] = event.value;
      json["count"] = event.count;
      return;
    case ControlEventKind::kResized: json["bytes"] = event.value; return;
    case ControlEventKind::kClient:
      json["state"] = event.name;
      json["clients"] = event.value;
      return;
    case ControlEventKind::kPaused:
    case ControlEventKind::kResumed: return;
  }
}

}  // namespace

std::string event_line(const ControlEvent& event) {
  Json json = {{"event", kControlEventNames[static_cast<size_t>(event.kind)]}, {"time", seconds_of(event.time)}};
  if (!event.slot.empty()) json["slot"] = event.slot;
  add_details(event, json);
  return to_text(json) + "\n";
}

std::string lost_line(uint64_t count) {
  return to_text(Json{{"event", "lost"}, {"time", seconds_of(std::chrono::system_clock::now())}, {"count", count}}) +
         "\n";
}

}  // namespace acrn
