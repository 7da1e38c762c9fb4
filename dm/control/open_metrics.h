// All counts of a machine as text for Prometheus and its like. docs/monitoring.md has each metric, its unit and its
// meaning. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "dm/control/control_target.h"
#include "dm/devices/device_report.h"

namespace acrn {

// kOpenMetrics: OpenMetrics 1.0.0. kPrometheus: the text format 0.0.4, for readers that know only that one; it names
// counters and types a little differently, and has the same values.
enum class MetricsFormat : uint8_t { kOpenMetrics, kPrometheus };

std::string render_metrics(const MachineStatus& machine, std::span<const DeviceReport> devices, MetricsFormat format);

}  // namespace acrn
