// The parts of `vblk bench` that need no device: options, patterns, statistics, jobs.
#include <array>
#include <set>
#include <thread>

#include "dm/tools/bench/jobs.h"
#include "dm/tools/bench/options.h"
#include "dm/tools/bench/pattern.h"
#include "tests/support/test.h"

using namespace acrn;

namespace {

BenchOptions parsed(const BenchText& text) {
  auto options = parse_bench_options(text);
  EXPECT(options.ok());
  return options.value();
}

void expect_refused(const BenchText& text, const char* part) {
  const auto options = parse_bench_options(text);
  EXPECT(!options.ok());
  EXPECT(options.error().kind == ErrorKind::kUsage);
  EXPECT_CONTAINS(options.error().message, part);
}

}  // namespace

TEST(the_options_mean_what_fio_means_by_them) {
  EXPECT_EQ(parsed({}).block, 4096u);
  EXPECT_EQ(parsed({.block = "1M"}).block, 1u << 20);
  EXPECT_EQ(*parsed({.size = "2g"}).size, uint64_t{2} << 30);
  EXPECT(!parsed({}).jobs);
  EXPECT_EQ(*parsed({.jobs = "4"}).jobs, 4u);
  EXPECT_EQ(parsed({.ramp = "0.5"}).ramp, 0.5);
  EXPECT(parsed({}).random && !parsed({.rw = "write"}).random);
  EXPECT_EQ(parsed({.rw = "read"}).read_percent, 100u);
  EXPECT_EQ(parsed({.rw = "randwrite"}).read_percent, 0u);
  EXPECT_EQ(parsed({.rw = "randrw", .read_percent = "70"}).read_percent, 70u);
  EXPECT(parsed({}).direct == DirectMethod::kNone);
  EXPECT(parsed({.direct = "best"}).direct == DirectMethod::kBest);
  EXPECT(parsed({.direct = "preadv"}).direct == DirectMethod::kPreadv);
  EXPECT(parsed({.direct = "io_uring"}).direct == DirectMethod::kIoUring);
}

TEST(a_bad_value_is_named_with_what_would_be_right) {
  expect_refused({.rw = "reed"}, "--rw reed: give read, write, randread, randwrite or randrw");
  expect_refused({.rw = "randrw", .read_percent = "101"}, "--rwmixread 101: give a number from 0 to 100");
  expect_refused({.block = "4000"}, "--bs 4000: give a multiple of 512 bytes");
  expect_refused({.block = "32M"}, "--bs 32M: give");
  expect_refused({.block = "1M", .size = "4k"}, "--size 4k: give a number of bytes, at least the 1048576");
  expect_refused({.size = "x"}, "--size x: give");
  expect_refused({.depth = "0"}, "--qd 0: give a number from 1 to 1024");
  expect_refused({.depth = ""}, "--qd: the value is missing");
  expect_refused({.jobs = "65"}, "--numjobs 65: give a number from 1 to 64");
  expect_refused({.seconds = "0"}, "--seconds 0: give");
  for (const char* text : {"nan", "inf", "1e9", "-1", "2s", "3601", " 1"})
    expect_refused({.seconds = text}, "--seconds");
  expect_refused({.ramp = "-1"}, "--ramp -1: give a number of seconds, 0 to 3600");
  expect_refused({.direct = "libaio"}, "--direct-baseline libaio: give preadv, io_uring or best");
  expect_refused({.seed = "-1"}, "--seed -1: give");
  expect_refused({.rw = "randread", .verify = true}, "--verify: --rw randread writes nothing");
  expect_refused({.rw = "write", .direct = "best", .verify = true}, "--verify: --direct-baseline would overwrite");
}

TEST(a_pattern_repeats_with_its_seed_and_stays_on_the_disk) {
  const BenchOptions options = parsed({.rw = "randrw", .read_percent = "30"});
  BenchPattern one(options, 1000, 7, 0, 2), again(options, 1000, 7, 0, 2), other_job(options, 1000, 7, 1, 2);
  unsigned reads = 0, same = 0;
  std::set<uint64_t> blocks;
  for (unsigned i = 0; i < 10'000; i++) {
    const bool read = one.next_is_read();
    const uint64_t block = one.next_block();
    EXPECT(block < 1000);
    EXPECT_EQ(read, again.next_is_read());
    EXPECT_EQ(block, again.next_block());
    other_job.next_is_read();
    same += other_job.next_block() == block;
    reads += read;
    blocks.insert(block);
  }
  EXPECT_EQ(blocks.size(), 1000u);
  EXPECT(reads > 2800 && reads < 3200);
  EXPECT(same < 50);
}

TEST(sequential_jobs_share_the_disk_among_them) {
  const BenchOptions options = parsed({.rw = "write"});
  std::multiset<uint64_t> blocks;
  for (unsigned job = 0; job < 3; job++) {
    BenchPattern pattern(options, 10, 1, job, 3);
    const uint64_t first = pattern.next_block();
    for (uint64_t block = first;;) {
      EXPECT(!pattern.next_is_read());
      blocks.insert(block);
      const uint64_t next = pattern.next_block();
      if (next == first) break;
      EXPECT_EQ(next, block + 1);
      block = next;
    }
  }
  EXPECT_EQ(blocks.size(), 10u);
  EXPECT_EQ(std::set<uint64_t>(blocks.begin(), blocks.end()).size(), 10u);
  BenchPattern crowded(options, 1, 1, 2, 3);
  EXPECT_EQ(crowded.next_block(), crowded.next_block());
}

TEST(a_histogram_knows_its_percentiles_to_about_3_percent) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.percentile(0.5), 0u);
  for (uint64_t i = 1; i <= 10'000; i++) histogram.add(i * 100);
  for (const double quantile : {0.5, 0.99, 0.999}) {
    const double exact = 1e6 * quantile, got = static_cast<double>(histogram.percentile(quantile));
    EXPECT(got > exact * 0.97 && got < exact * 1.04);
  }
  histogram.add(~uint64_t{0});
  LatencyHistogram both = histogram;
  both.merge(histogram);
  EXPECT_EQ(both.count(), 2 * histogram.count());
}

TEST(jobs_add_up_in_time_and_rounds_one_after_another) {
  BenchRound first, second;
  first.seconds = 2, second.seconds = 1;
  first.latency.add(10), second.latency.add(20), second.latency.add(30);
  second.errors = 1, second.first_error = "bad";
  first.add(second);
  EXPECT_EQ(first.iops(), 1.5);
  BenchSeries series;
  series.add(first);
  series.add(second);
  series.add(first);
  EXPECT_EQ(series.median_iops(), 1.5);
  EXPECT_EQ(series.total.seconds, 5.0);
  EXPECT_EQ(series.total.latency.count(), 8u);
  EXPECT_EQ(series.total.errors, 3u);
  EXPECT_EQ(series.total.first_error, std::string("bad"));
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(ratio(1, 0), 0.0);
}

TEST(every_job_runs_on_a_thread_of_its_own_in_all_rounds_and_an_error_is_reported) {
  BenchJobs jobs(3);
  std::array<std::thread::id, 3> first, second;
  const auto noting = [](std::array<std::thread::id, 3>& threads) {
    return [&threads](unsigned job, BenchRound& round) -> Result<void> {
      threads[job] = std::this_thread::get_id();
      round.seconds = job + 1;
      round.latency.add(1);
      return {};
    };
  };
  const auto total = jobs.run(noting(first), {});
  EXPECT(total.ok());
  EXPECT_EQ(total.value().seconds, 3.0);
  EXPECT_EQ(total.value().latency.count(), 3u);
  EXPECT_EQ((std::set<std::thread::id>(first.begin(), first.end()).size()), 3u);
  const auto failed = jobs.run(
      [](unsigned job, BenchRound&) -> Result<void> {
        if (job == 1) return Error{ErrorKind::kIo, "job 1"};
        return {};
      },
      {});
  EXPECT(!failed.ok());
  EXPECT_EQ(failed.error().message, std::string("job 1"));
  const auto again = jobs.run(noting(second), {});
  EXPECT(again.ok());
  EXPECT_EQ(again.value().latency.count(), 3u);
  EXPECT(first == second);
}
