#include "dm/block/sources/vhost_user/vhost_user_source.h"

namespace acrn {

BlockInfo VhostUserSource::info() const {
  BlockInfo info = info_;
  info.size = link_->size();
  info.needs_own_thread = true;  // the one that polls its ring
  return info;
}

Result<std::unique_ptr<BlockChannel>> VhostUserSource::open_channel(EventLoop& loop, unsigned) {
  return channels_.open(loop, [&](bool) { return BackEndQueue::open(*link_, loop); });
}

}  // namespace acrn
