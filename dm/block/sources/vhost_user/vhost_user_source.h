// VhostUserSource: the disk is what a vhost-user-blk back end serves. Each loop has one of its queues.
#pragma once

#include <memory>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/loop_channels.h"
#include "dm/block/sources/vhost_user/back_end_link.h"
#include "dm/block/sources/vhost_user/back_end_queue.h"

namespace acrn {

class VhostUserSource final : public BlockBackend {
 public:
  // `info`: what info() is to say.
  VhostUserSource(std::unique_ptr<BackEndLink> link, const BlockInfo& info) : link_(std::move(link)), info_(info) {}

  BlockInfo info() const override;
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override { return link_->refresh_size(); }
  void use_memory(const std::shared_ptr<const MemoryMap>& memory) override { link_->use_memory(memory); }

 private:
  const std::unique_ptr<BackEndLink> link_;
  const BlockInfo info_;
  LoopChannels<BackEndQueue> channels_;
};

}  // namespace acrn
