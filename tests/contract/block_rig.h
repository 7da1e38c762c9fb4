// BlockRig: a backend with a channel on a loop of its own, driven from the test's thread. TestRequest: a
// request with its own bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <semaphore>
#include <span>
#include <string>
#include <vector>

#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "dm/event/epoll_loop.h"
#include "tests/support/test.h"

namespace acrn::test {

// `count` bytes that differ from disk offset to disk offset and from seed to seed.
std::vector<uint8_t> pattern(uint64_t seed, size_t count);

class TestRequest : public BlockRequest {
 public:
  TestRequest() = default;
  TestRequest(BlockOp kind, uint64_t from, uint64_t bytes) {
    op = kind;
    offset = from;
    length = bytes;
  }
  static TestRequest read(uint64_t offset, size_t bytes);
  static TestRequest write(uint64_t offset, std::vector<uint8_t> bytes);

  // The bytes, cut into vectors of `piece` bytes that start `skew` bytes off an aligned address.
  void lay_out(size_t piece, size_t skew = 0);

  std::vector<uint8_t> data() const;
  void fill(uint8_t value);

 private:
  std::vector<uint8_t> memory_;
  std::vector<iovec> vectors_;
  size_t start_ = 0;
  size_t bytes_ = 0;
};

class BlockRig final : private BlockSink {
 public:
  explicit BlockRig(BlockBackend& backend, unsigned depth = 64, const LoopOptions& options = {});
  ~BlockRig();

  // Submits all at once and waits for them.
  void run(std::vector<TestRequest>& requests);
  // The same for one: 0 or an errno.
  int run(TestRequest& request);
  int run(TestRequest&& request) { return run(request); }

  void start(std::vector<TestRequest>& requests);
  // The same on a borrowed loop. False: it was awake, and nothing has happened.
  bool start_on_this_thread(std::vector<TestRequest>& requests);
  void finish();

  EpollLoop& loop() { return *loop_; }
  BlockChannel& channel() { return *channel_; }

 private:
  void prepare(std::vector<TestRequest>& requests);
  void request_done(BlockRequest& request) override;
  void batch_done() override {}

  std::unique_ptr<EpollLoop> loop_;
  std::unique_ptr<BlockChannel> channel_;
  std::vector<BlockRequest*> batch_;
  size_t outstanding_ = 0;  // on the loop
  std::binary_semaphore all_done_{0};
};

// For every engine. One read of many goes past the end of a file that was truncated from `size` by 4096 bytes.
void expect_one_read_to_fail_alone(BlockRig& rig, uint64_t size);
// A write that is done inside submit(), and then one of another sink: the first one may be gone by then.
void expect_a_sink_to_be_left_alone(BlockRig& rig);
// One flush among reads, after a write of 2 MiB that the medium cannot take.
void expect_one_flush_to_fail_alone(BlockRig& rig);

// open_disk() for a path; the error is the test's failure.
std::unique_ptr<BlockBackend> open_backend(const BlockOptions& options);
BlockOptions options_for(const std::string& path);

}  // namespace acrn::test
