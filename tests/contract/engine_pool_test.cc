// EnginePool: elements, workers and completions. Counts every allocation of the program.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "dm/block/engines/pool.h"
#include "dm/block/filters/align.h"
#include "dm/block/filters/range.h"
#include "dm/block/sources/ram_disk.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"
#include "tests/contract/steady.h"
#include "tests/support/filter_fault.h"
#include "tests/support/no_threads.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 4 << 20;

// `at_once`: small cached reads and writes are carried out in submit(); otherwise all requests go to workers.
std::unique_ptr<BlockBackend> make_pool(const std::string& path, bool at_once) {
  RawFileTraits traits;
  traits.name = path;
  traits.info.size = kSize;
  traits.info.discard_granularity = 4096;
  traits.direct = !at_once;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  return std::make_unique<EnginePool>(std::make_unique<RawFile>(std::move(fd), traits), "test");
}

constexpr uint64_t kSignals = 0x7ffbfeff;  // 1 to 31, but not SIGKILL and SIGSTOP

std::string value_of(const std::filesystem::path& status, std::string_view key) {
  std::ifstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key)) return line.substr(line.find_first_not_of(" \t", key.size()));
  }
  return {};
}

struct Worker {
  uint64_t blocked_signals;
  std::string cpus;
  bool operator==(const Worker&) const = default;
};

// A worker that is just being made may not have its name and CPUs yet.
std::vector<Worker> workers() {
  std::vector<Worker> found;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    const auto status = thread.path() / "status";
    if (!value_of(status, "Name:").starts_with("test/w")) continue;
    found.push_back(
        {std::stoull("0" + value_of(status, "SigBlk:"), nullptr, 16) & kSignals, value_of(status, "Cpus_allowed:")});
  }
  return found;
}

// So many at once, and each so long, that another thread can start meanwhile on a busy host, too.
void run_long_reads(BlockRig& rig) {
  std::vector<TestRequest> reads;
  for (unsigned i = 0; i < 64; i++) reads.push_back(TestRequest::read(0, 2 << 20));
  rig.run(reads);
  for (const TestRequest& read : reads) EXPECT_EQ(read.error, 0);
}

}  // namespace

// COVERS(include/acrn/block/blockif.h): a request allocates nothing
TEST(a_request_allocates_nothing_in_the_pool) {
  TempDir dir;
  for (bool at_once : {true, false}) {
    auto pool = make_pool(dir.file("disk", kSize), at_once);
    expect_no_allocations(*pool);
  }
}

TEST(a_request_allocates_nothing_in_the_filters) {
  BlockInfo info;
  info.size = kSize;
  info.offset_alignment = 4096;
  info.memory_alignment = 4096;
  auto align = make_filter_align(std::move(make_ram_disk(info)).value());
  auto window = make_filter_range(std::move(align), 4096, 2 << 20);
  expect_no_allocations(*window);
}

TEST(one_failed_request_among_many_fails_alone) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto pool = make_pool(path, true);
  EXPECT_EQ(::truncate(path.c_str(), kSize - 4096), 0);
  BlockRig rig(*pool);
  expect_one_read_to_fail_alone(rig, kSize);
}

// COVERS(B21): one failure among many
TEST(a_failed_fsync_among_good_requests_fails_alone) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  BlockOptions options = options_for(device.path());
  options.writeback = true;
  auto backend = open_backend(options);
  BlockRig rig(*backend);
  expect_one_flush_to_fail_alone(rig);
}

TEST(an_idle_disk_has_no_workers) {
  TempDir dir;
  auto pool = make_pool(dir.file("disk", kSize), true);
  BlockRig rig(*pool);
  rig.loop().run([] {});
  EXPECT(workers().empty());
}

TEST(parallel_requests_start_eight_workers_that_block_every_signal_but_those_of_a_crash) {
  constexpr uint64_t kCrashes = 0x000004c8;  // SIGILL, SIGBUS, SIGFPE, SIGSEGV
  TempDir dir;
  auto pool = make_pool(dir.file("disk", kSize), false);
  BlockRig rig(*pool);
  // What a pinned loop starts is not pinned.
  rig.loop().run([] {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(::sched_getcpu(), &here);
    EXPECT_EQ(::sched_setaffinity(0, sizeof(here), &here), 0);
  });
  const std::vector<Worker> wanted(8, {kSignals & ~kCrashes, value_of("/proc/self/status", "Cpus_allowed:")});
  for (unsigned tries = 0; workers() != wanted && tries < 1000; tries++) run_long_reads(rig);
  EXPECT(workers() == wanted);
  for (unsigned more = 0; more < 10; more++) run_long_reads(rig);
  EXPECT(workers() == wanted);
}

TEST(without_a_worker_requests_fail_until_one_can_be_started) {
  TempDir dir;
  auto pool = make_pool(dir.file("disk", kSize), false);
  BlockRig rig(*pool);
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < 200; i++) writes.push_back(TestRequest::write(i * 4096, pattern(i, 4096)));
  {
    NoThreads limit;
    for (unsigned round = 0; round < 3; round++) {
      rig.run(writes);
      for (const TestRequest& write : writes) EXPECT_EQ(write.error, EAGAIN);
    }
  }
  EXPECT(workers().empty());
  rig.run(writes);
  for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
}

TEST(fewer_workers_than_eight_serve_everything) {
  TempDir dir;
  auto pool = make_pool(dir.file("disk", kSize), false);
  BlockRig rig(*pool);
  EXPECT_EQ(rig.run(TestRequest::read(0, 512)), 0);
  NoThreads limit;
  for (unsigned round = 0; round < 10; round++) run_long_reads(rig);
  EXPECT_EQ(workers().size(), 1u);
}

// Eight workers could all wait there.
TEST(reads_go_on_while_writes_wait_for_a_frozen_file_system) {
  for (const std::string mode : {"writethru", "writeback", "nocache"}) {
    FreezableFileSystem fs(32 << 20);
    BlockOptions options = options_for(fs.file("disk", kSize));
    options.writeback = mode == "writeback";
    options.nocache = mode == "nocache";
    options.engine = BlockEngine::kThreads;
    options.map = MapMode::kOff;
    auto backend = open_backend(options);
    BlockRig writer(*backend), reader(*backend);
    std::vector<TestRequest> writes, reads;
    for (uint64_t i = 0; i < 64; i++) {
      writes.push_back(TestRequest::write(i * 4096, pattern(i, 4096)));
      reads.push_back(TestRequest::read((1 << 20) + i * 4096, 4096));
    }
    fs.freeze();
    writer.start(writes);
    reader.run(reads);
    const bool was_frozen = fs.thaw();
    writer.finish();
    EXPECT(was_frozen);
    for (const TestRequest& read : reads) EXPECT_EQ(read.error, 0);
    for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
  }
}

TEST(a_closing_channel_completes_what_it_was_given) {
  TempDir dir;
  for (int round = 0; round < 20; round++) {
    auto pool = make_pool(dir.file("disk", kSize), false);
    std::vector<TestRequest> writes;
    for (uint64_t i = 0; i < 200; i++) writes.push_back(TestRequest::write(i * 4096, pattern(i, 4096)));
    auto rig = std::make_unique<BlockRig>(*pool);
    rig->start(writes);
    rig.reset();
    for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
  }
}

}  // namespace acrn::test
