#include "dm/tools/bench/jobs.h"

#include <sys/resource.h>

#include "acrn/base/concat.h"

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

// Until it is signalled.
void wait_for(Event& event, const BenchTick& tick = {}) {
  const std::chrono::milliseconds interval(tick ? 100 : 60'000);
  while (!event.wait(interval)) {
    if (tick) tick();
  }
}

}  // namespace

BenchJobs::~BenchJobs() {
  job_ = nullptr;
  for (const auto& member : members_) {
    member->begin.signal();
    member->thread.join();
  }
}

Result<BenchRound> BenchJobs::run(const BenchJob& job, const BenchTick& tick) {
  if (auto started = start(); !started) return started.error();
  job_ = &job;
  running_.store(count_);
  const Usage before = usage_now();
  for (const auto& member : members_) member->begin.signal();
  wait_for(ended_, tick);
  const Usage after = usage_now();
  auto total = sum();
  if (!total) return total;
  total.value().cpu_seconds = after.cpu_seconds - before.cpu_seconds;
  total.value().context_switches = after.context_switches - before.context_switches;
  return total;
}

Result<void> BenchJobs::start() {
  while (members_.size() < count_) {
    auto member = std::make_unique<Member>();
    const auto number = static_cast<unsigned>(members_.size());
    auto started =
        member->thread.start(concat("job ", number), [this, raw = member.get(), number] { work(*raw, number); });
    if (!started) return started;
    members_.push_back(std::move(member));
  }
  return {};
}

void BenchJobs::work(Member& member, unsigned number) {
  for (;;) {
    wait_for(member.begin);
    if (job_ == nullptr) return;
    member.round = {};
    member.result = (*job_)(number, member.round);
    if (running_.fetch_sub(1) == 1) ended_.signal();
  }
}

Result<BenchRound> BenchJobs::sum() const {
  BenchRound total;
  for (const auto& member : members_) {
    if (!member->result) return member->result.error();
    total.add(member->round);
  }
  return total;
}

}  // namespace acrn
