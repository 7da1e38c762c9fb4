#include "dm/block/sources/vhost_user/vhost_user_source.h"

#include <algorithm>

#include "acrn/base/concat.h"

namespace acrn {

class VhostUserSource::Channel final : public BlockChannel {
 public:
  Channel(VhostUserSource& source, EventLoop& loop, BackEndQueue& queue)
      : source_(source), loop_(loop), queue_(queue) {}
  ~Channel() override { source_.close_channel(loop_); }
  void submit(std::span<BlockRequest* const> batch) override { queue_.submit(batch); }

 private:
  VhostUserSource& source_;
  EventLoop& loop_;
  BackEndQueue& queue_;
};

BlockInfo VhostUserSource::info() const {
  BlockInfo info = info_;
  info.size = link_->size();
  return info;
}

Result<std::unique_ptr<BlockChannel>> VhostUserSource::open_channel(EventLoop& loop, unsigned) {
  BackEndQueue* queue = nullptr;
  size_t index = 0;
  {
    MutexLock lock(mutex_);
    if (const auto found = by_loop_.find(&loop); found != by_loop_.end()) {
      found->second.channels++;
      queue = found->second.queue.get();
    }
    index = static_cast<size_t>(std::find(is_taken_.begin(), is_taken_.end(), false) - is_taken_.begin());
  }
  if (queue == nullptr) {
    const size_t queues = link_->queues();
    if (index == queues) {
      return Error{ErrorKind::kUsage, concat("virtio-blk ", link_->server().name, ": there are ", queues,
                                             " queues for more loops than that; give iothread=", queues)};
    }
    auto made = BackEndQueue::open(*link_, static_cast<unsigned>(index), loop);
    if (!made) return made.error();
    MutexLock lock(mutex_);
    is_taken_[index] = true;
    Shared& shared = by_loop_[&loop];  // loops open their channels one after the other
    shared = {std::move(made).value(), static_cast<unsigned>(index), 1};
    queue = shared.queue.get();
  }
  return std::unique_ptr<BlockChannel>(std::make_unique<Channel>(*this, loop, *queue));
}

void VhostUserSource::close_channel(EventLoop& loop) {
  std::unique_ptr<BackEndQueue> last;
  {
    MutexLock lock(mutex_);
    const auto found = by_loop_.find(&loop);
    if (--found->second.channels != 0) return;
    last = std::move(found->second.queue);
  }
  last.reset();
  MutexLock lock(mutex_);
  const auto found = by_loop_.find(&loop);
  is_taken_[found->second.index] = false;
  by_loop_.erase(found);
}

}  // namespace acrn
