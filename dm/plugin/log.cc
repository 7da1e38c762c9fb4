// The log seam of the library: lines go to the host's callback, or nowhere.
#include "acrn/base/log.h"

#include <atomic>
#include <string>

#include "acrn-blk.h"
#include "dm/base/one_line.h"

namespace {

// Set before there are handles, and so before there are threads that log.
acrn_blk_log* write_line = nullptr;
void* write_context = nullptr;
std::atomic<int> threshold{0};

}  // namespace

void acrn_blk_set_log(int level, acrn_blk_log* log, void* context) {
  write_line = log;
  write_context = context;
  threshold = log == nullptr ? 0 : level;
}

namespace acrn {

bool log_enabled(LogLevel level) { return static_cast<int>(level) <= threshold.load(std::memory_order_relaxed); }

void log(LogLevel level, std::string_view line) {
  if (log_enabled(level)) write_line(write_context, static_cast<int>(level), one_line(line).c_str());
}

}  // namespace acrn
