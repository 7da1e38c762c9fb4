// one_line(): text from outside (a path, a guest's string) made safe for one line of a terminal or a log.
#pragma once

#include <string>
#include <string_view>

namespace acrn {

// Control characters become \xNN, so that no input can forge a second line or drive a terminal.
inline std::string one_line(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line += "\\x";
      line += "0123456789abcdef"[byte >> 4];
      line += "0123456789abcdef"[byte & 0xf];
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace acrn
