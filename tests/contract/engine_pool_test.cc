// EnginePool: elements, workers and completions. Counts every allocation of the program.
#include <fcntl.h>
#include <unistd.h>

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

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 4 << 20;

std::unique_ptr<BlockBackend> make_pool(const std::string& path, bool inline_reads) {
  RawFileTraits traits;
  traits.name = path;
  traits.info.size = kSize;
  traits.info.discard_granularity = 4096;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  auto pool = EnginePool::create(std::make_unique<RawFile>(std::move(fd), traits), "test", inline_reads);
  EXPECT(pool.ok());
  return std::move(pool).value();
}

}  // namespace

TEST(a_request_allocates_nothing_in_the_pool) {
  TempDir dir;
  for (bool inline_reads : {true, false}) {
    auto pool = make_pool(dir.file("disk", kSize), inline_reads);
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

TEST(requests_beyond_the_elements_wait_and_complete) {
  TempDir dir;
  auto pool = make_pool(dir.file("disk", kSize), false);
  BlockRig rig(*pool);
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < 1000; i++) writes.push_back(TestRequest::write(i * 4096, pattern(i, 512)));
  rig.run(writes);
  for (uint64_t i = 0; i < 1000; i++) {
    TestRequest read = TestRequest::read(i * 4096, 512);
    EXPECT_EQ(writes[i].error, 0);
    EXPECT_EQ(rig.run(read), 0);
    EXPECT(read.data() == pattern(i, 512));
  }
}

TEST(one_failed_request_among_many_fails_alone) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  auto pool = make_pool(path, true);
  EXPECT_EQ(::truncate(path.c_str(), kSize - 4096), 0);
  BlockRig rig(*pool);
  expect_one_read_to_fail_alone(rig, kSize);
}

TEST(a_failed_fsync_among_good_requests_fails_alone) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  BlockOptions options = options_for(device.path());
  options.writeback = true;
  auto backend = open_backend(options);
  BlockRig rig(*backend);
  expect_one_flush_to_fail_alone(rig);
}

TEST(eight_workers_with_names_block_every_signal_but_those_of_a_crash) {
  constexpr uint64_t kAll = 0x7ffbfeff;      // 1 to 31, but not SIGKILL and SIGSTOP
  constexpr uint64_t kCrashes = 0x000004c8;  // SIGILL, SIGBUS, SIGFPE, SIGSEGV
  TempDir dir;
  auto pool = make_pool(dir.file("disk", kSize), true);
  // A thread that is just being made blocks all of them for a moment.
  const auto workers = [&] {
    std::vector<uint64_t> masks;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream status(thread.path() / "status");
      std::string line, name;
      while (std::getline(status, line)) {
        if (line.starts_with("Name:")) name = line;
        if (line.starts_with("SigBlk:") && name.find("test/w") != std::string::npos) {
          masks.push_back(std::stoull(line.substr(8), nullptr, 16) & kAll);
        }
      }
    }
    return masks;
  };
  const std::vector<uint64_t> wanted(8, kAll & ~kCrashes);
  for (unsigned tries = 0; workers() != wanted && tries < 1000; tries++) usleep(5000);
  EXPECT(workers() == wanted);
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
