// VhostUserSource: the disk is what a vhost-user-blk back end serves. Each loop has one of its queues.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/vhost_user/back_end_link.h"
#include "dm/block/sources/vhost_user/back_end_queue.h"

namespace acrn {

class VhostUserSource final : public BlockBackend {
 public:
  // `info`: what info() is to say.
  VhostUserSource(std::unique_ptr<BackEndLink> link, const BlockInfo& info)
      : link_(std::move(link)), info_(info), is_taken_(link_->queues()) {}

  BlockInfo info() const override;
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override { return link_->refresh_size(); }

 private:
  class Channel;
  struct Shared {
    std::unique_ptr<BackEndQueue> queue;
    unsigned index = 0, channels = 0;
  };

  void close_channel(EventLoop& loop);

  const std::unique_ptr<BackEndLink> link_;
  const BlockInfo info_;
  Mutex mutex_;  // leaf; not held across a queue's calls
  std::map<EventLoop*, Shared> by_loop_ ACRN_GUARDED_BY(mutex_);
  std::vector<bool> is_taken_ ACRN_GUARDED_BY(mutex_);  // of the back end's queues
};

}  // namespace acrn
