#include "dm/block/filters/range.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

// Moves offsets and passes the requests themselves on; only refused ones end here.
class RangeChannel final : public BlockChannel {
 public:
  RangeChannel(std::unique_ptr<BlockChannel> below, uint64_t start, uint64_t size)
      : below_(std::move(below)), start_(start), size_(size) {}

  void submit(std::span<BlockRequest* const> batch) override {
    std::array<BlockRequest*, 64> group;
    while (!batch.empty()) {
      size_t count = 0;
      for (BlockRequest* request : batch.first(std::min(batch.size(), group.size()))) {
        if (translate(*request)) {
          group[count++] = request;
        } else {
          refused_.push(*request);
        }
      }
      batch = batch.subspan(std::min(batch.size(), group.size()));
      if (count > 0) below_->submit(std::span(group).first(count));
    }
    finish_refused();
  }
  void cancel_waiting(bool may_start) override { below_->cancel_waiting(may_start); }

 private:
  bool translate(BlockRequest& request) const {
    if (request.op == BlockOp::kFlush) return true;
    if (!request.is_inside(size_)) return false;
    request.offset += start_;
    return true;
  }
  void finish_refused() {
    refused_.drain([](BlockRequest& request) {
      request.error = EINVAL;
      request.sink->request_done(request);
    });
  }

  const std::unique_ptr<BlockChannel> below_;
  const uint64_t start_, size_;
  SubmitQueue refused_;
};

class FilterRange final : public BlockBackend {
 public:
  FilterRange(std::unique_ptr<BlockBackend> below, uint64_t start, uint64_t size)
      : below_(std::move(below)), start_(start), size_(size) {
    const uint64_t all = below_->info().size;
    ACRN_CHECK(start <= all && size <= all - start);
  }

  BlockInfo info() const override {
    BlockInfo info = below_->info();
    info.size = size_;
    return info;
  }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    auto channel = below_->open_channel(loop, depth);
    if (!channel) return channel.error();
    return std::unique_ptr<BlockChannel>(std::make_unique<RangeChannel>(std::move(channel).value(), start_, size_));
  }
  // A window stays as it is when the file around it grows.
  Result<uint64_t> refresh_size() override {
    const auto whole = below_->refresh_size();
    if (!whole || start_ + size_ <= whole.value()) return whole ? Result<uint64_t>(size_) : whole.error();
    return Error{ErrorKind::kNoInput, concat("virtio-blk: the window of bytes ", start_, "..", start_ + size_ - 1,
                                             " ends outside: ", whole.value(), " bytes are left")};
  }
  void use_memory(const std::shared_ptr<const MemoryMap>& memory) override { below_->use_memory(memory); }

 private:
  const std::unique_ptr<BlockBackend> below_;
  const uint64_t start_, size_;
};

}  // namespace

std::unique_ptr<BlockBackend> make_filter_range(std::unique_ptr<BlockBackend> below, uint64_t start, uint64_t size) {
  return std::make_unique<FilterRange>(std::move(below), start, size);
}

}  // namespace acrn
