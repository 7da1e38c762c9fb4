#include "tests/support/in_guest_ram.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "acrn/block/iovec_cursor.h"
#include "acrn/mem/guest_memory.h"
#include "dm/block/submit_queue.h"
#include "dm/mem/guest_ram.h"
#include "tests/support/must.h"

namespace acrn::test {
namespace {

constexpr size_t kBuffer = 4 << 20, kBuffers = 64;  // bytes; of a channel
constexpr size_t kPiece = 5000;                     // bytes of a request in one vector

class Channel final : public BlockChannel, private BlockSink {
 public:
  Channel(std::unique_ptr<BlockChannel> below, std::byte* ram) : below_(std::move(below)) {
    for (size_t i = 0; i < kBuffers; i++) {
      requests_[i].data = ram + i * kBuffer;
      free_.push_back(&requests_[i]);
    }
  }

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) { pass_on(request); });
  }

 private:
  struct Moved : BlockRequest {
    std::byte* data = nullptr;
    std::vector<iovec> pieces;
    BlockRequest* original = nullptr;
  };

  void pass_on(BlockRequest& request) {
    const bool has_data = request.op == BlockOp::kRead || request.op == BlockOp::kWrite;
    if (!has_data || request.length > kBuffer || free_.empty()) return start(request);
    Moved& moved = *free_.back();
    free_.pop_back();
    static_cast<BlockRequest&>(moved) = request;
    moved.original = &request;
    moved.sink = this;
    moved.pieces.clear();
    for (size_t done = 0; done < request.length; done += kPiece) {
      moved.pieces.push_back({moved.data + done, std::min<size_t>(kPiece, request.length - done)});
    }
    moved.iov = moved.pieces;
    if (request.op == BlockOp::kWrite) copy(moved, true);
    start(moved);
  }
  void start(BlockRequest& request) {
    BlockRequest* const one = &request;
    below_->submit(std::span(&one, 1));
  }

  static void copy(const Moved& moved, bool to_ram) {
    std::byte* ram = moved.data;
    IoVecCursor(moved.original->iov).for_each_piece(moved.length, [&](std::byte* piece, size_t size) {
      std::memcpy(to_ram ? ram : piece, to_ram ? piece : ram, size);
      ram += size;
    });
  }

  void request_done(BlockRequest& request) override {
    auto& moved = static_cast<Moved&>(request);
    BlockRequest& original = *moved.original;
    if (moved.op == BlockOp::kRead && moved.error == 0) copy(moved, false);
    original.error = moved.error;
    last_sink_ = original.sink;
    free_.push_back(&moved);
    original.sink->request_done(original);
  }
  void batch_done() override { last_sink_->batch_done(); }

  std::array<Moved, kBuffers> requests_;
  std::vector<Moved*> free_;
  BlockSink* last_sink_ = nullptr;  // a test has one for each channel
  SubmitQueue incoming_;
  const std::unique_ptr<BlockChannel> below_;
};

class Backend final : public BlockBackend {
 public:
  explicit Backend(std::unique_ptr<BlockBackend> below) : below_(std::move(below)) {
    below_->use_memory(std::make_shared<const MemoryMap>(std::vector<MemoryRegion>{ram_}));
  }

  BlockInfo info() const override { return below_->info(); }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto below = below_->open_channel(loop, depth);
    if (!below) return below.error();
    const size_t offset = channels_++ % kChannels * kBuffer * kBuffers;
    return std::unique_ptr<BlockChannel>(std::make_unique<Channel>(std::move(below).value(), ram_.host + offset));
  }
  Result<uint64_t> refresh_size() override { return below_->refresh_size(); }

 private:
  static constexpr size_t kChannels = 4;  // at a time

  const MemoryRegion ram_ = must(create_shared_ram(Gpa{0}, kChannels* kBuffer* kBuffers));
  const std::unique_ptr<BlockBackend> below_;
  std::atomic<unsigned> channels_{0};
};

}  // namespace

std::unique_ptr<BlockBackend> in_guest_ram(std::unique_ptr<BlockBackend> below) {
  return std::make_unique<Backend>(std::move(below));
}

}  // namespace acrn::test
