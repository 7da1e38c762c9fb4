// What `fault=` says, as a value. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "acrn/block/fault_rule.h"

namespace acrn {

// <operation>:<fault>[:<condition>...], and more of them behind a +. Nothing: it is no such.
std::optional<FaultRules> parse_fault_rules(std::string_view text);

}  // namespace acrn
