// BenchRun: the sides of a benchmark in turns, round by round. One thread.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "dm/tools/bench/direct.h"
#include "dm/tools/bench/report.h"
#include "dm/tools/bench/write_ledger.h"
#include "dm/tools/progress.h"

namespace acrn {

inline constexpr unsigned kBenchRounds = 5;

// How a side does one round.
using RunSide = std::function<Result<BenchRound>(double seconds, uint64_t seed, const BenchTick& tick)>;

struct BenchTarget {
  BenchSide& side;
  RunSide run;
};

// Each round begins with another side: the first one finds other caches.
class BenchRun {
 public:
  // `cold`, if any: its pages leave the page cache before each turn. `ledger`, if any: a mismatch ends the contest.
  BenchRun(const BenchOptions& options, const DirectFile* cold, const WriteLedger* ledger,
           std::vector<BenchTarget> contenders)
      : options_(options),
        cold_(cold),
        ledger_(ledger),
        contenders_(std::move(contenders)),
        progress_("bench", milliseconds(bench_duration(options.seconds + options.ramp)) * contenders_.size()) {
    if (progress_.visible()) tick_ = [this] { progress_.show(milliseconds(BenchClock::now() - start_time_), note_); };
  }

  Result<void> run() {
    const size_t count = contenders_.size();
    for (size_t i = 0; options_.ramp > 0 && i < count; i++) {
      if (auto done = round(contenders_[i], 0, options_.ramp); !done) return done.error();
    }
    for (unsigned number = 1; number <= kBenchRounds; number++) {
      for (size_t i = 0; i < count && !(ledger_ != nullptr && ledger_->failed()); i++) {
        BenchTarget& contender = contenders_[(number - 1 + i) % count];
        auto measured = round(contender, number, options_.seconds / kBenchRounds);
        if (!measured) return measured.error();
        contender.side.series.add(measured.value());
      }
    }
    return {};
  }

  const BenchTick& tick(std::string note) {
    note_ = std::move(note);
    return tick_;
  }

 private:
  Result<BenchRound> round(BenchTarget& contender, unsigned number, double seconds) {
    if (cold_ != nullptr) {
      if (auto dropped = cold_->drop_pages(); !dropped) return dropped.error();
    }
    note_ = number == 0 ? contender.side.name + ", not measured yet"
                        : fmt::format("{}, round {} of {}", contender.side.name, number, kBenchRounds);
    return contender.run(seconds, options_.seed + number, tick_);
  }
  static uint64_t milliseconds(BenchClock::duration time) {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  }

  const BenchOptions& options_;
  const DirectFile* cold_;
  const WriteLedger* ledger_;
  std::vector<BenchTarget> contenders_;
  Progress progress_;
  BenchTick tick_;
  std::string note_;
  const BenchClock::time_point start_time_ = BenchClock::now();
};

}  // namespace acrn
