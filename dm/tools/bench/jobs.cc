#include "dm/tools/bench/jobs.h"

#include <sys/resource.h>

#include <atomic>
#include <memory>
#include <vector>

#include "acrn/base/concat.h"
#include "dm/base/event.h"
#include "dm/base/thread.h"

namespace acrn {
namespace {

struct Usage {
  double cpu_seconds;
  uint64_t context_switches;
};

Usage usage_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), static_cast<uint64_t>(usage.ru_nvcsw + usage.ru_nivcsw)};
}

struct JobThread {
  Thread thread;
  BenchRound round;
  Result<void> result;
};

}  // namespace

Result<BenchRound> run_jobs(unsigned jobs, const BenchJob& job, const BenchTick& tick) {
  std::vector<std::unique_ptr<JobThread>> threads;
  std::atomic<unsigned> running{jobs};
  Event ended;
  Result<void> failed;
  const Usage before = usage_now();
  for (unsigned i = 0; i < jobs && failed; i++) {
    threads.push_back(std::make_unique<JobThread>());
    JobThread& own = *threads.back();
    failed = own.thread.start(concat("job ", i), [&, i] {
      own.result = job(i, own.round);
      if (running.fetch_sub(1) == 1) ended.signal();
    });
  }
  if (failed) {
    const std::chrono::milliseconds interval(tick ? 100 : 60'000);
    while (!ended.wait(interval)) {
      if (tick) tick();
    }
  }
  BenchRound total;
  for (const auto& own : threads) {
    own->thread.join();
    total.add(own->round);
    if (failed && !own->result) failed = own->result;
  }
  if (!failed) return failed.error();
  const Usage after = usage_now();
  total.cpu_seconds = after.cpu_seconds - before.cpu_seconds;
  total.context_switches = after.context_switches - before.context_switches;
  return total;
}

}  // namespace acrn
