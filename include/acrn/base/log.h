// The log seam. Any thread may log; the host side decides where a line goes (dm/base/log.cc).
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace acrn {

// Levels as in ACRN's --logger_setting.
enum class LogLevel : int { kError = 1, kWarning = 2, kNotice = 3, kInfo = 4, kDebug = 5 };

// True if some channel would print a line of this level; lets the caller skip building it.
bool log_enabled(LogLevel level);

// For things that others can make happen without end: the first few of a kind are told, then each time the count
// doubles.
constexpr bool worth_telling(uint64_t count) { return count <= 3 || std::has_single_bit(count); }

// One line, without a newline.
void log(LogLevel level, std::string_view line);

}  // namespace acrn
