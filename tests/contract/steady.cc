#include "tests/contract/steady.h"

#include <array>
#include <memory>
#include <semaphore>

#include "tests/contract/allocation_count.h"
#include "tests/contract/block_rig.h"

namespace acrn::test {
namespace {

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
    const BlockOp kinds[] = {BlockOp::kRead, BlockOp::kWrite, BlockOp::kRead, BlockOp::kWriteZeroes, BlockOp::kFlush};
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

}  // namespace

void expect_no_allocations(BlockBackend& backend) {
  BlockRig rig(backend);
  auto steady = std::make_unique<Steady>(rig);
  EXPECT_EQ(steady->allocations_in_steady_state(), 0ul);
  EXPECT(!steady->failed_);
}

}  // namespace acrn::test
