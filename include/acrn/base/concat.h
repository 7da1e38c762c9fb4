// concat(a, b, ...): one string of text and decimal numbers, hex(n): a number as 0x...; for messages where
// no formatting library may be included.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace acrn {

inline std::string hex(uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[value & 0xf]);
    value >>= 4;
  } while (value != 0);
  return "0x" + digits;
}

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  const auto append = [&text](const auto& part) {
    if constexpr (std::convertible_to<decltype(part), std::string_view>) {
      text += std::string_view(part);
    } else {
      text += std::to_string(part);
    }
  };
  (append(parts), ...);
  return text;
}

}  // namespace acrn
