// EnginePool: elements, workers and completions. Counts every allocation of the program.
#include "dm/block/engine_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "dm/block/filter_align.h"
#include "dm/block/filter_fault.h"
#include "dm/block/filter_range.h"
#include "dm/block/ram_disk.h"
#include "tests/contract/allocation_count.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"

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

// Keeps `kInFlight` requests of changing kinds in flight without leaving the loop, and counts allocations
// between its first rounds and its end.
class Steady final : public BlockSink {
 public:
  explicit Steady(BlockRig& rig) : rig_(rig) {}

  unsigned long allocations_in_steady_state() {
    rig_.loop().post([this] {
      std::array<BlockRequest*, kInFlight> batch;
      for (size_t i = 0; i < kInFlight; i++) {
        vectors_[i] = {bytes_[i].data() + 1, 2048};
        requests_[i].sink = this;
        prepare(i);
        batch[i] = &requests_[i];
      }
      rig_.channel().submit(batch);
    });
    finished_.acquire();
    rig_.loop().run([] {});  // batch_done() is still to come
    return after_ - before_;
  }

 private:
  static constexpr size_t kInFlight = 100;  // more than a channel has elements
  static constexpr unsigned kWarmUp = 2000, kRounds = 10000;

  void prepare(size_t i) {
    BlockRequest& request = requests_[i];
    const BlockOp kinds[] = {BlockOp::kRead, BlockOp::kWrite, BlockOp::kRead, BlockOp::kWriteZeroes,
                             BlockOp::kFlush};
    request.op = kinds[(done_ + i) % 5];
    request.offset = i * 4096 + 512;
    request.length = 2048;
    request.iov = std::span(&vectors_[i], 1);
  }
  void request_done(BlockRequest& request) override {
    failed_ = failed_ || request.error != 0;
    done_++;
    if (done_ == kWarmUp) before_ = allocation_count();
    if (done_ == kRounds) after_ = allocation_count();
    if (done_ >= kRounds) {
      if (done_ == kRounds + kInFlight - 1) finished_.release();
      return;
    }
    prepare(static_cast<size_t>(&request - requests_.data()));
    BlockRequest* const one = &request;
    rig_.channel().submit(std::span(&one, 1));
  }
  void batch_done() override {}

  BlockRig& rig_;
  std::array<BlockRequest, kInFlight> requests_;
  std::array<iovec, kInFlight> vectors_{};
  std::array<std::array<uint8_t, 4096>, kInFlight> bytes_{};
  unsigned done_ = 0;
  unsigned long before_ = 0, after_ = 0;
  std::binary_semaphore finished_{0};

 public:
  bool failed_ = false;
};

void expect_no_allocations(BlockBackend& backend) {
  BlockRig rig(backend);
  auto steady = std::make_unique<Steady>(rig);
  EXPECT_EQ(steady->allocations_in_steady_state(), 0ul);
  EXPECT(!steady->failed_);
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
  for (int round = 0; round < 10; round++) {
    std::vector<TestRequest> reads;
    for (uint64_t i = 0; i < 60; i++)
      reads.push_back(TestRequest::read(i == 30 ? kSize - 4096 : i * 4096, 4096));
    rig.run(reads);
    for (size_t i = 0; i < reads.size(); i++) EXPECT_EQ(reads[i].error, i == 30 ? EIO : 0);
  }
}

TEST(a_failed_fsync_among_good_requests_fails_alone) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  BlockOptions options = options_for(device.path());
  options.writeback = true;
  auto backend = open_backend(options);
  BlockRig rig(*backend);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 2 << 20))), 0);
  std::vector<TestRequest> batch;
  for (uint64_t i = 0; i < 40; i++) batch.push_back(TestRequest::read((3 << 20) + i * 512, 512));
  batch[20] = TestRequest(BlockOp::kFlush, 0, 0);
  rig.run(batch);
  for (size_t i = 0; i < batch.size(); i++) EXPECT_EQ(batch[i].error, i == 20 ? EIO : 0);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
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
