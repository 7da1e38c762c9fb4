// Values of vblk's options, and what is said of those that are wrong. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "acrn/base/concat.h"
#include "dm/cli/option_table.h"

namespace acrn {

inline Error bad_value(std::string_view option, std::string_view value, std::string_view right) {
  if (value.empty()) return usage_error(concat(option, ": the value is missing; give ", right));
  return usage_error(concat(option, " ", value, ": give ", right));
}

template <class T>
Result<void> accept_number(std::string_view option, const std::string& text, uint64_t low, uint64_t high, T& to) {
  const auto value = parse_number(text, low, high);
  if (!value) return bad_value(option, text, concat("a number from ", low, " to ", high));
  to = static_cast<T>(*value);
  return {};
}

}  // namespace acrn
