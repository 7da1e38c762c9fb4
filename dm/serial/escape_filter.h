// EscapeFilter: the keys by which the user of a terminal speaks to us and not to the guest. Ctrl-a x: leave;
// Ctrl-a Ctrl-a: one Ctrl-a for the guest; anything else passes through.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace acrn {

class EscapeFilter {
 public:
  static constexpr uint8_t kEscape = 0x01;  // Ctrl-a

  struct Output {
    std::array<uint8_t, 2> bytes{};
    unsigned count = 0;
    bool leave = false;

    std::span<const uint8_t> for_guest() const { return std::span(bytes).first(count); }
  };

  // A Ctrl-a is kept until the next key says what it was for.
  Output feed(uint8_t byte) {
    if (!escaped_) {
      escaped_ = byte == kEscape;
      return escaped_ ? Output{} : Output{.bytes = {byte}, .count = 1};
    }
    escaped_ = false;
    if (byte == 'x') return {.leave = true};
    if (byte == kEscape) return {.bytes = {byte}, .count = 1};
    return {.bytes = {kEscape, byte}, .count = 2};
  }

 private:
  bool escaped_ = false;
};

}  // namespace acrn
