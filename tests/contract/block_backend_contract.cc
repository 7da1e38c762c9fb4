#include "tests/contract/block_backend_contract.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <semaphore>
#include <vector>

#include "tests/contract/block_rig.h"

namespace acrn::test::contract {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes read_bytes(BlockRig& rig, uint64_t offset, size_t count) {
  TestRequest request = TestRequest::read(offset, count);
  EXPECT_EQ(rig.run(request), 0);
  return request.data();
}

// What the disk should hold.
class Model {
 public:
  Model() : bytes_(kContractSize) {}

  void check_and_apply(const TestRequest& request) {
    EXPECT_EQ(request.error, 0);
    const auto at = bytes_.begin() + static_cast<ptrdiff_t>(request.offset);
    const Bytes data = request.data();
    switch (request.op) {
      case BlockOp::kRead: EXPECT(std::equal(data.begin(), data.end(), at)); break;
      case BlockOp::kWrite: std::copy(data.begin(), data.end(), at); break;
      case BlockOp::kWriteZeroes: std::fill_n(at, request.length, 0); break;
      default: break;
    }
  }
  // A discarded sector is as it was, or zeroes.
  void learn_discarded(BlockRig& rig, uint64_t offset, uint64_t length) {
    const Bytes found = read_bytes(rig, offset, length);
    const Bytes zeroes(512);
    for (uint64_t at = 0; at < length; at += 512) {
      const bool old = std::memcmp(&found[at], &bytes_[offset + at], 512) == 0;
      EXPECT(old || std::memcmp(&found[at], zeroes.data(), 512) == 0);
    }
    std::copy(found.begin(), found.end(), bytes_.begin() + static_cast<ptrdiff_t>(offset));
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

TestRequest random_request(std::mt19937_64& random, uint64_t offset, uint64_t length) {
  TestRequest request;
  switch (random() % 8) {
    case 0:
    case 1:
    case 2: request = TestRequest::read(offset, length); break;
    case 3:
    case 4:
    case 5: request = TestRequest::write(offset, pattern(random(), length)); break;
    case 6: request = TestRequest(BlockOp::kWriteZeroes, offset, length); break;
    default: request = TestRequest(BlockOp::kDiscard, offset, length); break;
  }
  request.stable = random() % 4 == 0;
  request.may_unmap = random() % 2 == 0;
  if (request.op == BlockOp::kRead || request.op == BlockOp::kWrite) {
    request.lay_out(512 * (1 + random() % 8), random() % 3 == 0 ? random() % 600 : 0);
  }
  return request;
}

// Requests that do not overlap, so that their order means nothing: each in a stripe of its own.
std::vector<TestRequest> random_batch(std::mt19937_64& random) {
  constexpr uint64_t kStripe = kContractSize / 100;
  std::vector<TestRequest> batch;
  for (uint64_t stripe = 0; stripe < 100; stripe++) {
    const uint64_t first = (stripe * kStripe + 511) / 512, sectors = ((stripe + 1) * kStripe) / 512 - first;
    const uint64_t skip = random() % sectors, most = std::min<uint64_t>(sectors - skip, 1 + random() % 64);
    batch.push_back(random_request(random, (first + skip) * 512, most * 512));
  }
  batch.push_back(TestRequest(BlockOp::kFlush, 0, 0));
  std::shuffle(batch.begin(), batch.end(), random);
  return batch;
}

}  // namespace

void a_new_disk_reads_as_zeroes(BlockBackend& backend) {
  BlockRig rig(backend);
  EXPECT_EQ(backend.info().size, kContractSize);
  EXPECT(read_bytes(rig, 0, 65536) == Bytes(65536));
  EXPECT(read_bytes(rig, kContractSize - 512, 512) == Bytes(512));
}

void what_is_written_is_read_back_through_any_vectors(BlockBackend& backend) {
  BlockRig rig(backend);
  struct Layout {
    size_t bytes, piece, skew;
  };
  for (const Layout& layout : {Layout{512, 512, 0},
                               {4096, 4096, 0},
                               {4096, 512, 1},
                               {1 << 20, 1 << 20, 0},
                               {1 << 20, 512, 0},
                               {300 * 512, 100, 3},
                               {2 << 20, 4096, 512}}) {
    const uint64_t offset = 5 * 512;
    const Bytes bytes = pattern(layout.bytes + layout.piece, layout.bytes);
    TestRequest write = TestRequest::write(offset, bytes);
    write.lay_out(layout.piece, layout.skew);
    EXPECT_EQ(rig.run(write), 0);
    TestRequest read = TestRequest::read(offset, layout.bytes);
    read.lay_out(layout.piece, layout.skew);
    EXPECT_EQ(rig.run(read), 0);
    EXPECT(read.data() == bytes);
    EXPECT(read_bytes(rig, offset, layout.bytes) == bytes);
  }
}

void random_requests_agree_with_a_model(BlockBackend& backend) {
  BlockRig rig(backend);
  Model model;
  for (uint64_t seed : {1, 2, 3}) {
    std::mt19937_64 random(seed);
    for (int round = 0; round < 8; round++) {
      std::vector<TestRequest> batch = random_batch(random);
      std::vector<std::pair<uint64_t, uint64_t>> discarded;
      for (const TestRequest& request : batch) {
        if (request.op == BlockOp::kDiscard) discarded.emplace_back(request.offset, request.length);
      }
      // A channel may change offsets; the copy keeps what was asked for.
      std::vector<uint64_t> offsets;
      offsets.reserve(batch.size());
      for (const TestRequest& request : batch) offsets.push_back(request.offset);
      rig.run(batch);
      for (size_t i = 0; i < batch.size(); i++) {
        batch[i].offset = offsets[i];
        model.check_and_apply(batch[i]);
      }
      for (const auto& [offset, length] : discarded) model.learn_discarded(rig, offset, length);
    }
  }
  EXPECT(read_bytes(rig, 0, kContractSize) == model.bytes());
}

// COVERS(include/acrn/block/blockif.h): more requests than elements all complete
// COVERS(B15): more requests than engine entries
void more_requests_than_elements_all_complete(BlockBackend& backend) {
  BlockRig rig(backend);
  constexpr size_t kCount = 500;
  std::vector<TestRequest> writes, reads;
  for (size_t i = 0; i < kCount; i++) {
    writes.push_back(TestRequest::write(i * 4096 + 512, pattern(i, 2048)));
    reads.push_back(TestRequest::read(i * 4096 + 512, 2048));
  }
  rig.run(writes);
  rig.run(reads);
  for (size_t i = 0; i < kCount; i++) {
    EXPECT_EQ(writes[i].error, 0);
    EXPECT_EQ(reads[i].error, 0);
    EXPECT(reads[i].data() == pattern(i, 2048));
  }
}

namespace {

// Submits the same request again each time it is done, and measures how deep it is called.
class Resubmitter final : public BlockSink {
 public:
  Resubmitter(BlockRig& rig, unsigned rounds) : rig_(rig), left_(rounds) {}

  void run() {
    rig_.loop().post([this] { submit(); });
    finished_.acquire();
    rig_.loop().run([] {});  // batch_done() is still to come
  }
  unsigned deepest() const { return deepest_; }

 private:
  void submit() {
    request_ = BlockRequest();
    request_.offset = 4096 * (left_ % 16);
    request_.length = sizeof(bytes_);
    request_.iov = std::span(&vector_, 1);
    request_.sink = this;
    BlockRequest* const one = &request_;
    deepest_ = std::max(deepest_, ++depth_);
    rig_.channel().submit(std::span(&one, 1));
    if (--depth_ == 0 && done_) finished_.release();
  }
  void request_done(BlockRequest&) override {
    if (--left_ > 0) return submit();
    done_ = true;
    if (depth_ == 0) finished_.release();
  }
  void batch_done() override {}

  BlockRig& rig_;
  unsigned left_, depth_ = 0, deepest_ = 0;
  bool done_ = false;
  BlockRequest request_;
  alignas(4096) uint8_t bytes_[4096];
  iovec vector_{bytes_, sizeof(bytes_)};
  std::binary_semaphore finished_{0};
};

}  // namespace

// COVERS(include/acrn/block/blockif.h): submitting from request_done keeps the stack flat
void requests_submitted_from_request_done_complete_on_a_shallow_stack(BlockBackend& backend) {
  BlockRig rig(backend);
  Resubmitter resubmitter(rig, 5000);
  resubmitter.run();
  EXPECT(resubmitter.deepest() <= 4);
}

void a_request_past_the_end_fails_alone_and_touches_nothing(BlockBackend& backend) {
  BlockRig rig(backend);
  std::vector<TestRequest> batch;
  for (uint64_t i = 0; i < 40; i++) batch.push_back(TestRequest::write(i * 512, pattern(i, 512)));
  batch[3] = TestRequest::write(kContractSize - 512, pattern(3, 1024));
  batch[5] = TestRequest::read(kContractSize, 512);
  batch[7] = TestRequest::write(~uint64_t{0} - 511, pattern(7, 512));
  batch[9] = TestRequest(BlockOp::kWriteZeroes, 512, ~uint64_t{0} - 511);
  batch[11] = TestRequest(BlockOp::kDiscard, kContractSize - 512, 4096);
  rig.run(batch);
  for (size_t i = 0; i < batch.size(); i++) {
    const bool bad = i == 3 || i == 5 || i == 7 || i == 9 || i == 11;
    EXPECT_EQ(batch[i].error != 0, bad);
    if (!bad) EXPECT(read_bytes(rig, i * 512, 512) == pattern(i, 512));
  }
  EXPECT(batch[5].data() == Bytes(512, 0xee));
  EXPECT(read_bytes(rig, kContractSize - 512, 512) == Bytes(512));
  EXPECT_EQ(backend.info().size, kContractSize);
}

void zeroes_are_written_with_and_without_unmap(BlockBackend& backend) {
  BlockRig rig(backend);
  for (bool unmap : {false, true}) {
    const Bytes before = pattern(unmap, 1 << 20);
    EXPECT_EQ(rig.run(TestRequest::write(0, before)), 0);
    TestRequest zeroes(BlockOp::kWriteZeroes, 3 * 512, 700 * 512);
    zeroes.may_unmap = unmap;
    zeroes.stable = true;
    EXPECT_EQ(rig.run(zeroes), 0);
    Bytes expected = before;
    std::fill_n(expected.begin() + 3 * 512, 700 * 512, 0);
    EXPECT(read_bytes(rig, 0, 1 << 20) == expected);
  }
}

void two_channels_serve_at_the_same_time(BlockBackend& backend) {
  BlockRig left(backend), right(backend);
  // Neighbouring sectors from two loops.
  std::vector<TestRequest> even, odd;
  for (uint64_t i = 0; i < 200; i++) {
    (i % 2 == 0 ? even : odd).push_back(TestRequest::write(i * 512, pattern(i, 512)));
  }
  left.start(even);
  right.start(odd);
  left.finish();
  right.finish();
  for (uint64_t i = 0; i < 200; i++) EXPECT(read_bytes(left, i * 512, 512) == pattern(i, 512));
}

void a_channel_can_close_right_after_its_last_request(BlockBackend& backend) {
  for (int round = 0; round < 20; round++) {
    BlockRig rig(backend);
    std::vector<TestRequest> batch;
    for (uint64_t i = 0; i < 20; i++) batch.push_back(TestRequest::write(i * 4096, pattern(i, 4096)));
    rig.run(batch);
  }
}

void the_size_is_read_again(BlockBackend& backend) {
  auto size = backend.refresh_size();
  EXPECT(size.ok());
  EXPECT_EQ(size.value(), kContractSize);
}

}  // namespace acrn::test::contract
