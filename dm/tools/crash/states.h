// The states that a crash could have left: what was flushed, and of the writes behind that some. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "dm/tools/crash/log_file.h"

namespace acrn {

struct CrashState {
  size_t flushed = 0;         // entries that are there in any case: up to a flush
  std::vector<size_t> extra;  // entries behind it that are there as well, as one came over the other
  bool torn = false;          // of the last of them only the first half is there
};

// Calls `visit` for each state, those of an earlier moment first, until it is false. Between two flushes: each prefix,
// each prefix with its last write torn, each write missing and each alone, each over the next one that has sectors of
// it (of more than kEach writes only so many, evenly spread, and the prefixes at marks), and by chance `most` other
// subsets. What is stable by itself (FUA) is there from its moment on.
inline constexpr size_t kEach = 256;
void for_each_state(const std::vector<LoggedWrite>& entries, unsigned most, uint64_t seed,
                    const std::function<bool(const CrashState&)>& visit);
// How many calls that are.
uint64_t count_states(const std::vector<LoggedWrite>& entries, unsigned most);

}  // namespace acrn
