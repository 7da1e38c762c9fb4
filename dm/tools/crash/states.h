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
  bool torn = false;          // of the last of them only torn_bytes() are there
};

struct StateOptions {
  unsigned most = 16;     // subsets by chance, of the writes between two flushes
  uint64_t seed = 1;      // of the chance
  uint64_t atomic = 512;  // bytes that a medium writes whole, from a multiple of that on
};

// Calls `visit` for each state, those of an earlier moment first, until it is false. Between two flushes: each prefix,
// each prefix with its last write torn, each write missing and each alone, each over the next one that has sectors of
// it (of more than kEach writes only so many, evenly spread, and the prefixes at marks), and other subsets by chance.
// What is stable by itself (FUA) is there from its moment on.
inline constexpr size_t kEach = 256;
void for_each_state(const std::vector<LoggedWrite>& entries, const StateOptions& options,
                    const std::function<bool(const CrashState&)>& visit);
// How many calls that are.
uint64_t count_states(const std::vector<LoggedWrite>& entries, const StateOptions& options);
// How much of a write is there if it is torn, near its middle. 0: it cannot be.
uint64_t torn_bytes(const LoggedWrite& write, uint64_t atomic);

}  // namespace acrn
