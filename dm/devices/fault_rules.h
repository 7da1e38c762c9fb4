// What `fault=` says, as a value. Pure.
#pragma once

#include <string_view>

#include "acrn/base/result.h"
#include "acrn/block/fault_rule.h"

namespace acrn {

// <operation>:<fault>[:<condition>...], and more of them behind a +. Errors: kUsage, with the word that is wrong.
Result<FaultRules> parse_fault_rules(std::string_view text);

}  // namespace acrn
