#include "dm/block/filters/kept_channels.h"

#include <utility>
#include <vector>

#include "acrn/base/check.h"
#include "dm/block/filters/filter.h"

namespace acrn {
namespace {

using Channels = std::vector<std::unique_ptr<BlockChannel>>;

// Goes back when it ends: nothing is in flight then.
class LentChannel final : public BlockChannel {
 public:
  LentChannel(Channels& home, std::unique_ptr<BlockChannel> channel) : home_(home), channel_(std::move(channel)) {}
  ~LentChannel() override { home_.push_back(std::move(channel_)); }

  void submit(std::span<BlockRequest* const> batch) override { channel_->submit(batch); }
  void cancel_waiting(bool may_start) override { channel_->cancel_waiting(may_start); }

 private:
  Channels& home_;
  std::unique_ptr<BlockChannel> channel_;
};

class KeptChannels final : public Filter {
 public:
  KeptChannels(std::unique_ptr<BlockBackend> below, EventLoop& loop, unsigned count, unsigned depth)
      : Filter(std::move(below)), loop_(loop), depth_(depth) {
    loop_.run([&] {
      while (channels_.size() < count) {
        auto channel = beneath().open_channel(loop_, depth_);
        if (!channel) return;
        channels_.push_back(std::move(channel).value());
      }
    });
  }
  ~KeptChannels() override {
    loop_.run([&] { channels_.clear(); });
  }

  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    ACRN_CHECK(&loop == &loop_ && loop.is_current() && depth <= depth_);
    std::unique_ptr<BlockChannel> channel;
    if (channels_.empty()) {
      auto made = beneath().open_channel(loop, depth_);
      if (!made) return made.error();
      channel = std::move(made).value();
    } else {
      channel = std::move(channels_.back());
      channels_.pop_back();
    }
    return std::unique_ptr<BlockChannel>(std::make_unique<LentChannel>(channels_, std::move(channel)));
  }

 private:
  EventLoop& loop_;
  const unsigned depth_;
  Channels channels_;  // that nobody has; on the loop
};

}  // namespace

std::unique_ptr<BlockBackend> make_kept_channels(std::unique_ptr<BlockBackend> below, EventLoop& loop, unsigned count,
                                                 unsigned depth) {
  return std::make_unique<KeptChannels>(std::move(below), loop, count, depth);
}

}  // namespace acrn
