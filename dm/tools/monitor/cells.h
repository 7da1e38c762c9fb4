// Text in columns of a terminal. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace acrn {

// Text from outside as that many columns: it is cut at its front or at its end, and filled with blanks. What would move
// the cursor, or is no character of one or two columns, is '?'; without `unicode` all but ASCII is.
enum class CutAt : unsigned char { kFront, kEnd };
std::string cell(std::string_view text, size_t columns, CutAt cut, bool unicode);

// A number in at most 6 columns: "0", "85", "9999", "12.3k", "1.2M".
std::string short_number(double value);
// Nanoseconds in at most 6 columns: "0us", "850ns", "85us", "1.2ms", "3.4s".
std::string short_time(double nanoseconds);

}  // namespace acrn
