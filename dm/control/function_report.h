// A configured function as the control socket shows it; for machines that implement ControlTarget.
#pragma once

#include "dm/control/control_target.h"
#include "dm/devices/registry.h"

namespace acrn {

inline FunctionReport report_function(const ConfiguredFunction& function) {
  FunctionDescription description = function.describe();
  FunctionReport report{std::move(description.slot),
                        std::move(description.emulation),
                        std::move(description.source),
                        function.stats(),
                        {},
                        {}};
  const GuestMistakes* mistakes = function.mistakes();
  for (size_t i = 0; mistakes != nullptr && i < kGuestRules; i++) {
    const auto rule = static_cast<GuestRule>(i);
    auto& counts = is_vmms(rule) ? report.vmm_mistakes : report.mistakes;
    if (const uint64_t count = mistakes->count(rule); count != 0) counts.emplace_back(text(rule).name, count);
  }
  return report;
}

}  // namespace acrn
