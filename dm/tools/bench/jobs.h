// What the sides of a benchmark have in common: a round of several jobs, each a thread, and what it cost the process.
#pragma once

#include <chrono>
#include <functional>

#include "acrn/base/result.h"
#include "dm/tools/bench/stats.h"

namespace acrn {

using BenchClock = std::chrono::steady_clock;

inline BenchClock::duration bench_duration(double seconds) {
  return std::chrono::duration_cast<BenchClock::duration>(std::chrono::duration<double>(seconds));
}

// One job's part of a round; job 0 and up. Its thread ends with it.
using BenchJob = std::function<Result<void>(unsigned job, BenchRound& round)>;
// Called ten times a second while jobs run, if it is set.
using BenchTick = std::function<void()>;

// Runs the jobs to their end: their sum, with the CPU time and the context switches of the whole process.
Result<BenchRound> run_jobs(unsigned jobs, const BenchJob& job, const BenchTick& tick);

}  // namespace acrn
