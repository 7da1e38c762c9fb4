// For each rule that a driver can break: what drivers usually do that break it, and what to do instead. Pure.
#pragma once

#include <string_view>

#include "acrn/virtio/guest_rules.h"

namespace acrn {

struct RuleAdvice {
  std::string_view cause, remedy;  // sentences
};

const RuleAdvice& advice_of(GuestRule rule);

}  // namespace acrn
