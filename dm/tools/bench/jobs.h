// What the sides of a benchmark have in common: rounds of several jobs, each on its thread, and what they cost the
// process.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "acrn/base/result.h"
#include "dm/base/event.h"
#include "dm/base/thread.h"
#include "dm/tools/bench/stats.h"

namespace acrn {

using BenchClock = std::chrono::steady_clock;

inline BenchClock::duration bench_duration(double seconds) {
  return std::chrono::duration_cast<BenchClock::duration>(std::chrono::duration<double>(seconds));
}

// One job's part of a round; job 0 and up.
using BenchJob = std::function<Result<void>(unsigned job, BenchRound& round)>;
// Called ten times a second while jobs run, if it is set.
using BenchTick = std::function<void()>;

// The threads of one side, a job each. They stay from round to round, as a guest's CPUs do: where a request is a change
// of threads, new ones in a process that works already had a tenth less (docs/adr/0028). One thread.
class BenchJobs {
 public:
  explicit BenchJobs(unsigned count) : count_(count) {}
  ~BenchJobs();
  BenchJobs(const BenchJobs&) = delete;
  BenchJobs& operator=(const BenchJobs&) = delete;

  unsigned count() const { return count_; }
  // A round: every job to its end. Their sum, with the CPU time and the context switches of the whole process.
  Result<BenchRound> run(const BenchJob& job, const BenchTick& tick);

 private:
  struct Member {
    Thread thread;
    Event begin;
    BenchRound round;
    Result<void> result;
  };

  Result<void> start();
  void work(Member& member, unsigned number);
  Result<BenchRound> sum() const;

  const unsigned count_;
  std::vector<std::unique_ptr<Member>> members_;  // all of them, or as many as could be started
  // For the members, which see it by `begin`; null: their end.
  const BenchJob* job_ = nullptr;
  std::atomic<unsigned> running_{0};
  Event ended_;
};

}  // namespace acrn
