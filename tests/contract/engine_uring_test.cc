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

// COVERS(B15): more requests than engine entries
TEST(more_requests_than_the_kernel_is_given_wait_and_complete) {
  TempDir dir;
  auto ring = make_ring(dir.file("disk", kSize));
  BlockRig rig(*ring, 4);
  auto writes = writes_of(1000);
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

TEST(a_failed_fsync_among_good_requests_fails_alone) {
  SmallFileSystem fs(512 << 10);
  LoopDevice device(fs.file("disk", kSize), 512);
  auto ring = make_ring(device.path());
  BlockRig rig(*ring);
  expect_one_flush_to_fail_alone(rig);
}

}  // namespace acrn::test
