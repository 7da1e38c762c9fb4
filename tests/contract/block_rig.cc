#include "tests/contract/block_rig.h"

#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "dm/block/open.h"
#include "dm/mem/bus_errors.h"

namespace acrn::test {

std::vector<uint8_t> pattern(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; i++) bytes[i] = static_cast<uint8_t>(random() >> 32);
  return bytes;
}

TestRequest TestRequest::read(uint64_t offset, size_t bytes) {
  TestRequest request(BlockOp::kRead, offset, bytes);
  request.memory_.assign(bytes, 0xee);
  request.lay_out(bytes);
  return request;
}

TestRequest TestRequest::write(uint64_t offset, std::vector<uint8_t> bytes) {
  TestRequest request(BlockOp::kWrite, offset, bytes.size());
  request.memory_ = std::move(bytes);
  request.lay_out(request.memory_.size());
  return request;
}

void TestRequest::lay_out(size_t piece, size_t skew) {
  const std::vector<uint8_t> bytes = vectors_.empty() ? memory_ : data();
  bytes_ = bytes.size();
  memory_.assign(bytes_ + 8192, 0xdd);
  // SAFETY: only the address's distance to the next aligned one is taken.
  start_ = 4096 - (reinterpret_cast<uintptr_t>(memory_.data()) & 4095) + skew;
  std::copy(bytes.begin(), bytes.end(), memory_.begin() + static_cast<ptrdiff_t>(start_));
  vectors_.clear();
  for (size_t at = 0; at < bytes_; at += piece) {
    vectors_.push_back({memory_.data() + start_ + at, std::min(piece, bytes_ - at)});
  }
  iov = vectors_;
}

std::vector<uint8_t> TestRequest::data() const {
  const auto begin = memory_.begin() + static_cast<ptrdiff_t>(start_);
  return {begin, begin + static_cast<ptrdiff_t>(bytes_)};
}

void TestRequest::fill(uint8_t value) { std::memset(memory_.data() + start_, value, bytes_); }

BlockRig::BlockRig(BlockBackend& backend, unsigned depth, const LoopOptions& options) {
  auto loop = EpollLoop::create("rig", {}, options);
  EXPECT(loop.ok());
  loop_ = std::move(loop).value();
  loop_->run([&] {
    auto channel = backend.open_channel(*loop_, depth);
    if (channel) channel_ = std::move(channel).value();
  });
  EXPECT(channel_ != nullptr);
}

BlockRig::~BlockRig() {
  loop_->run([this] { channel_.reset(); });
}

void BlockRig::prepare(std::vector<TestRequest>& requests) {
  batch_.clear();
  for (TestRequest& request : requests) {
    request.sink = this;
    request.error = -1;
    batch_.push_back(&request);
  }
}

void BlockRig::start(std::vector<TestRequest>& requests) {
  prepare(requests);
  loop_->post([this] {
    outstanding_ = batch_.size();
    channel_->submit(batch_);
  });
}

bool BlockRig::start_on_this_thread(std::vector<TestRequest>& requests) {
  const LoopLease lease = loop_->try_borrow();
  if (!lease) return false;
  prepare(requests);
  outstanding_ = batch_.size();
  channel_->submit(batch_);
  return true;
}

void BlockRig::finish() { all_done_.acquire(); }

void BlockRig::run(std::vector<TestRequest>& requests) {
  if (requests.empty()) return;
  start(requests);
  finish();
}

int BlockRig::run(TestRequest& request) {
  request.sink = this;
  request.error = -1;
  BlockRequest* one = &request;
  loop_->post([&] {
    outstanding_ = 1;
    channel_->submit(std::span(&one, 1));
  });
  finish();
  return request.error;
}

void BlockRig::request_done(BlockRequest&) {
  if (--outstanding_ == 0) all_done_.release();
}

void expect_one_read_to_fail_alone(BlockRig& rig, uint64_t size) {
  for (int round = 0; round < 10; round++) {
    std::vector<TestRequest> reads;
    for (uint64_t i = 0; i < 60; i++) {
      reads.push_back(TestRequest::read(i == 30 ? size - 4096 : i * 4096, 4096));
      reads.back().lay_out(4096);
    }
    rig.run(reads);
    for (size_t i = 0; i < reads.size(); i++) EXPECT_EQ(reads[i].error, i == 30 ? EIO : 0);
  }
}

void expect_a_sink_to_be_left_alone(BlockRig& rig) {
  struct CountingSink final : BlockSink {
    int done = 0, batches = 0;
    void request_done(BlockRequest&) override { done++; }
    void batch_done() override { batches++; }
  };
  CountingSink first, second;
  TestRequest requests[] = {TestRequest::write(0, pattern(1, 1024)), TestRequest::write(4096, pattern(2, 1024))};
  std::binary_semaphore both{0};
  rig.loop().post([&] {
    for (auto [request, sink] : {std::pair{&requests[0], &first}, std::pair{&requests[1], &second}}) {
      request->sink = sink;
      BlockRequest* const one = request;
      rig.channel().submit({&one, 1});
    }
    both.release();
  });
  both.acquire();
  EXPECT_EQ(first.done + second.done, 2);
  EXPECT_EQ(first.batches + second.batches, 0);
}

void expect_one_flush_to_fail_alone(BlockRig& rig) {
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 2 << 20))), 0);
  std::vector<TestRequest> batch;
  for (uint64_t i = 0; i < 40; i++) batch.push_back(TestRequest::read((3 << 20) + i * 512, 512));
  batch[20] = TestRequest(BlockOp::kFlush, 0, 0);
  rig.run(batch);
  for (size_t i = 0; i < batch.size(); i++) EXPECT_EQ(batch[i].error, i == 20 ? EIO : 0);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
}

BlockOptions options_for(const std::string& path) {
  BlockOptions options;
  options.source = FilePath{path};
  return options;
}

std::unique_ptr<BlockBackend> open_backend(const BlockOptions& options) {
  catch_bus_errors();  // as in acrn-dm
  auto disk = open_disk(options, "0:9:0");
  if (!disk) expect(false, disk.error().message, __FILE__, __LINE__);
  return std::move(disk).value().backend;
}

}  // namespace acrn::test
