// EngineUring: what is particular to a ring. Counts every allocation of the program.
#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "dm/block/engines/uring.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"
#include "tests/contract/steady.h"
#include "tests/support/few_descriptors.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 4 << 20;

std::unique_ptr<BlockBackend> make_ring(const std::string& path, int flags = 0) {
  if (EngineUring::unavailable() != 0) SKIP("io_uring");
  RawFileTraits traits;
  traits.name = path;
  traits.info.size = kSize;
  traits.info.discard_granularity = 4096;
  traits.direct = (flags & O_DIRECT) != 0;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags));
  if (!fd) SKIP("direct I/O in " + path);
  return std::make_unique<EngineUring>(std::make_unique<RawFile>(std::move(fd), traits));
}

std::vector<TestRequest> writes_of(size_t count) {
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < count; i++) writes.push_back(TestRequest::write(i * 4096, pattern(i, 4096)));
  return writes;
}

void expect_written(BlockRig& rig, const std::vector<TestRequest>& writes) {
  for (const TestRequest& write : writes) {
    EXPECT_EQ(write.error, 0);
    TestRequest read = TestRequest::read(write.offset, write.length);
    EXPECT_EQ(rig.run(read), 0);
    EXPECT(read.data() == write.data());
  }
}

}  // namespace

TEST(a_request_allocates_nothing_in_the_ring) {
  TempDir dir;
  auto ring = make_ring(dir.file("disk", kSize));
  expect_no_allocations(*ring);
}

TEST(a_channel_that_cannot_have_its_ring_is_an_error) {
  TempDir dir;
  auto ring = make_ring(dir.file("disk", kSize));
  BlockRig rig(*ring);
  for (unsigned more = 0; more < 3; more++) {  // a ring and two doorbells
    rig.loop().run([&] {
      FewDescriptors few(more);
      EXPECT(!ring->open_channel(rig.loop(), 64).ok());
    });
  }
  auto writes = writes_of(10);
  rig.run(writes);
  expect_written(rig, writes);
}

TEST(a_loop_that_polls_finds_what_is_done) {
  TempDir dir;
  auto ring = make_ring(dir.file("disk", kSize));
  BlockRig rig(*ring, 64, {.longest_poll = std::chrono::microseconds(200), .allow_borrow = true});
  for (int round = 0; round < 50; round++) {
    auto writes = writes_of(200);
    rig.run(writes);
    if (round % 10 == 0) expect_written(rig, writes);
  }
}

// The ring takes nothing from a thread that is not its owner.
TEST(what_a_borrower_of_the_loop_submits_is_handed_to_its_owner) {
  TempDir dir;
  auto ring = make_ring(dir.file("disk", kSize));
  BlockRig rig(*ring, 8, {.longest_poll = std::chrono::microseconds(50), .allow_borrow = true});
  for (unsigned round = 0; round < 200; round++) {
    auto writes = writes_of(20);
    while (!rig.start_on_this_thread(writes)) std::this_thread::yield();
    rig.finish();
    if (round % 50 == 0) expect_written(rig, writes);
  }
}

TEST(a_closing_channel_completes_what_it_was_given) {
  TempDir dir;
  for (int round = 0; round < 20; round++) {
    auto ring = make_ring(dir.file("disk", kSize));
    auto writes = writes_of(200);
    auto rig = std::make_unique<BlockRig>(*ring, 16);
    rig->start(writes);
    rig.reset();
    for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
  }
}

TEST(one_failed_request_among_many_fails_alone) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  for (const int flags : {0, O_DIRECT}) {
    auto ring = make_ring(path, flags);
    EXPECT_EQ(::truncate(path.c_str(), kSize - 4096), 0);
    BlockRig rig(*ring);
    expect_one_read_to_fail_alone(rig, kSize);
  }
}

TEST(adjacent_requests_that_are_transferred_together_are_what_each_of_them_is) {
  TempDir dir;
  for (const int flags : {0, O_DIRECT}) {
    auto ring = make_ring(dir.file("disk", kSize), flags);
    BlockRig rig(*ring);
    const auto before = pattern(9, 1 << 20);
    EXPECT_EQ(rig.run(TestRequest::write(0, before)), 0);
    std::vector<TestRequest> batch;
    uint64_t offset = 0;
    const auto add = [&](BlockOp op, uint64_t bytes, bool stable, size_t piece) {
      batch.push_back(op == BlockOp::kRead ? TestRequest::read(offset, bytes)
                                           : TestRequest::write(offset, pattern(offset, bytes)));
      batch.back().lay_out(piece);
      batch.back().stable = stable;
      offset += bytes;
    };
    for (int i = 0; i < 5; i++) add(BlockOp::kWrite, 4096, false, 4096);
    for (int i = 0; i < 3; i++) add(BlockOp::kRead, 8192, false, 4096);
    for (int i = 0; i < 3; i++) add(BlockOp::kWrite, 8192, true, 4096);
    add(BlockOp::kWrite, 4096, false, 4096);
    for (int i = 0; i < 3; i++) add(BlockOp::kRead, 40960, false, 4096);                     // too much for two
    for (int i = 0; i < 2; i++) add(BlockOp::kRead, 32768, false, flags == 0 ? 512 : 4096);  // too many vectors
    offset += 4096;
    add(BlockOp::kWrite, 4096, false, 4096);
    rig.run(batch);
    for (TestRequest& each : batch) {
      EXPECT_EQ(each.error, 0);
      const auto begin = before.begin() + static_cast<ptrdiff_t>(each.offset);
      const std::vector<uint8_t> old(begin, begin + static_cast<ptrdiff_t>(each.length));
      EXPECT(each.data() == (each.op == BlockOp::kRead ? old : pattern(each.offset, each.length)));
    }
    TestRequest all = TestRequest::read(0, offset);
    EXPECT_EQ(rig.run(all), 0);
    auto expected = std::vector<uint8_t>(before.begin(), before.begin() + static_cast<ptrdiff_t>(offset));
    for (TestRequest& each : batch) {
      const auto data = each.data();
      std::copy(data.begin(), data.end(), expected.begin() + static_cast<ptrdiff_t>(each.offset));
    }
    EXPECT(all.data() == expected);
  }
}

TEST(of_adjacent_requests_only_those_behind_the_end_fail) {
  TempDir dir;
  const std::string path = dir.file("disk", kSize);
  for (const int flags : {0, O_DIRECT}) {
    auto ring = make_ring(path, flags);
    EXPECT_EQ(::truncate(path.c_str(), kSize - 5 * 4096), 0);
    BlockRig rig(*ring);
    std::vector<TestRequest> reads;
    for (uint64_t i = 0; i < 10; i++) {
      reads.push_back(TestRequest::read(kSize - (10 - i) * 4096, 4096));
      reads.back().lay_out(4096);
    }
    rig.run(reads);
    for (size_t i = 0; i < reads.size(); i++) EXPECT_EQ(reads[i].error, i < 5 ? 0 : EIO);
  }
}

TEST(a_failed_fsync_among_good_requests_fails_alone) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  auto ring = make_ring(device.path());
  BlockRig rig(*ring);
  expect_one_flush_to_fail_alone(rig);
}

}  // namespace acrn::test
