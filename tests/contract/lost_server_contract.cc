#include "tests/contract/lost_server_contract.h"

#include <signal.h>

#include <cerrno>
#include <utility>

#include "tests/support/wait_until.h"

namespace acrn::test {

TestRequest stable_write(uint64_t offset, std::vector<uint8_t> bytes) {
  TestRequest request = TestRequest::write(offset, std::move(bytes));
  request.stable = true;
  return request;
}

std::vector<TestRequest> reads(unsigned count) {
  std::vector<TestRequest> requests;
  for (uint64_t i = 0; i < count; i++) requests.push_back(TestRequest::read(i * 4096, 4096));
  return requests;
}

namespace contract {

void requests_wait_for_a_server_that_is_killed_and_comes_back(DiskServer& server, BlockBackend& backend) {
  BlockRig rig(backend);
  for (uint64_t round = 0; round < 10; round++) {
    std::vector<TestRequest> writes;
    for (uint64_t i = 0; i < 200; i++) writes.push_back(stable_write(i * 4096, pattern(round * 200 + i, 4096)));
    rig.start(writes);
    server.end(SIGKILL);
    server.start();
    rig.finish();
    for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
    for (uint64_t i = 0; i < 200; i++) {
      TestRequest read = TestRequest::read(i * 4096, 4096);
      EXPECT_EQ(rig.run(read), 0);
      EXPECT(read.data() == pattern(round * 200 + i, 4096));
    }
  }
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
}

void a_flush_does_not_say_stable_of_writes_that_a_lost_server_had(DiskServer& server, BlockBackend& backend) {
  BlockRig rig(backend);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), 0);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
  server.end(SIGKILL);
  server.start();
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);  // there was nothing to lose
  EXPECT_EQ(rig.run(TestRequest::write(4096, pattern(2, 4096))), 0);
  server.end(SIGKILL);
  server.start();
  for (int again = 0; again < 3; again++) EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
  EXPECT_EQ(rig.run(TestRequest::write(8192, pattern(3, 4096))), 0);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
}

void requests_fail_when_the_server_does_not_come_back_in_time(DiskServer& server, BlockBackend& backend) {
  BlockRig rig(backend);
  server.end(SIGKILL);
  std::vector<TestRequest> requests = reads(100);
  rig.run(requests);
  for (const TestRequest& request : requests) EXPECT_EQ(request.error, EIO);
  // Then at once, and none any more when it is there again.
  EXPECT_EQ(rig.run(TestRequest::read(0, 512)), EIO);
  server.start();
  EXPECT(wait_until([&] { return rig.run(TestRequest::read(0, 512)) == 0; }));
}

void a_server_that_pauses_delays_and_loses_nothing(DiskServer& server, BlockBackend& backend) {
  BlockRig rig(backend);
  server.signal(SIGSTOP);
  std::vector<TestRequest> requests;
  for (uint64_t i = 0; i < 100; i++) requests.push_back(TestRequest::write(i * 65536, pattern(i, 65536)));  // 6.5 MB
  rig.start(requests);
  server.signal(SIGCONT);
  rig.finish();
  for (uint64_t i = 0; i < 100; i++) {
    EXPECT_EQ(requests[i].error, 0);
    TestRequest read = TestRequest::read(i * 65536, 65536);
    EXPECT_EQ(rig.run(read), 0);
    EXPECT(read.data() == pattern(i, 65536));
  }
}

}  // namespace contract
}  // namespace acrn::test
