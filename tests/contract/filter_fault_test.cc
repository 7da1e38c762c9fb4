// FilterFault itself, since other tests trust it.
#include "tests/support/filter_fault.h"

#include <cerrno>

#include "dm/block/sources/ram_disk.h"
#include "tests/contract/block_rig.h"

namespace acrn::test {
namespace {

struct Disk {
  std::shared_ptr<FaultPlan> plan = std::make_shared<FaultPlan>();
  std::unique_ptr<BlockBackend> backend = make();
  BlockRig rig{*backend};

  std::unique_ptr<BlockBackend> make() const {
    BlockInfo info;
    info.size = 1 << 20;
    return make_filter_fault(std::move(make_ram_disk(info)).value(), plan);
  }
};

}  // namespace

TEST(the_nth_request_of_a_kind_fails_once) {
  Disk disk;
  disk.plan->fail_nth(BlockOp::kRead, 2, ENOSPC);
  EXPECT_EQ(disk.rig.run(TestRequest::read(0, 512)), 0);
  EXPECT_EQ(disk.rig.run(TestRequest::write(0, pattern(1, 512))), 0);
  EXPECT_EQ(disk.rig.run(TestRequest::read(0, 512)), ENOSPC);
  EXPECT_EQ(disk.rig.run(TestRequest::read(0, 512)), 0);
  EXPECT_EQ(disk.plan->count(BlockOp::kRead), 3u);
  EXPECT_EQ(disk.plan->count(BlockOp::kWrite), 1u);
}

TEST(requests_that_touch_a_bad_range_fail_until_it_is_cleared) {
  Disk disk;
  disk.plan->fail_range(BlockOp::kWrite, 4096, 4608, EIO);
  EXPECT_EQ(disk.rig.run(TestRequest::write(0, pattern(1, 4096))), 0);
  EXPECT_EQ(disk.rig.run(TestRequest::write(0, pattern(2, 8192))), EIO);
  EXPECT_EQ(disk.rig.run(TestRequest::write(4608, pattern(1, 512))), 0);
  EXPECT_EQ(disk.rig.run(TestRequest::read(4096, 512)), 0);
  disk.plan->clear();
  EXPECT_EQ(disk.rig.run(TestRequest::write(0, pattern(2, 8192))), 0);
}

TEST(held_requests_wait_for_their_release) {
  Disk disk;
  disk.plan->hold(BlockOp::kWrite);
  std::vector<TestRequest> batch;
  for (uint64_t i = 0; i < 10; i++) batch.push_back(TestRequest::write(i * 512, pattern(i, 512)));
  disk.rig.start(batch);
  disk.plan->wait_for_held(10);
  BlockRig other(*disk.backend);
  TestRequest read = TestRequest::read(0, 512);
  EXPECT_EQ(other.run(read), 0);
  EXPECT(read.data() == std::vector<uint8_t>(512));
  disk.plan->release();
  disk.rig.finish();
  for (const TestRequest& request : batch) EXPECT_EQ(request.error, 0);
}

}  // namespace acrn::test
