// The log seam. Any thread may log; the host side decides where a line goes (dm/base/log.cc).
#pragma once

#include <string_view>

namespace acrn {

// Levels as in ACRN's --logger_setting.
enum class LogLevel : int { kError = 1, kWarning = 2, kNotice = 3, kInfo = 4, kDebug = 5 };

// True if some channel would print a line of this level; lets the caller skip building it.
bool log_enabled(LogLevel level);

// One line, without a newline.
void log(LogLevel level, std::string_view line);

}  // namespace acrn
