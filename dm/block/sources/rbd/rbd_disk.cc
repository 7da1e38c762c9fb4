#include "dm/block/sources/rbd/rbd_disk.h"

#include <atomic>
#include <cerrno>
#include <utility>
#include <vector>

#include "acrn/base/mutex.h"
#include "dm/block/request_list.h"
#include "dm/block/submit_queue.h"

namespace acrn {

// On its loop, but for what librbd's threads call.
class RbdDisk::Channel final : public BlockChannel {
 public:
  static Result<std::unique_ptr<BlockChannel>> create(RbdDisk& disk, EventLoop& loop, unsigned depth) {
    std::unique_ptr<Channel> channel(new Channel(disk, loop, depth));
    auto notifier = loop.make_short_notifier([raw = channel.get()] { raw->deliver(); });
    if (!notifier) return notifier.error();
    channel->notifier_ = std::move(notifier).value();
    return std::unique_ptr<BlockChannel>(std::move(channel));
  }
  ~Channel() override {
    MutexLock lock(mutex_);  // the last of librbd's calls may still be on its way out
  }

  void submit(std::span<BlockRequest* const> batch) override {
    incoming_.submit(batch, [this](BlockRequest& request) { take(request); });
  }

 private:
  // A request that librbd has, or its flush.
  struct Slot {
    Channel* channel;
    BlockRequest* request = nullptr;
    int error = 0;
    bool flushing = false;
    unsigned losses = 0;   // when it began
    Slot* next = nullptr;  // that is done
  };

  Channel(RbdDisk& disk, EventLoop& loop, unsigned depth) : disk_(disk), loop_(loop), slots_(std::max(depth, 1u)) {
    for (Slot& slot : slots_) {
      slot.channel = this;
      free_.push_back(&slot);
    }
  }

  void take(BlockRequest& request) {
    if (const int error = check(request); error != 0) {
      request.error = error;
      request.sink->request_done(request);
    } else if (free_.empty()) {
      waiting_.push(request);
    } else {
      start(request);
    }
  }

  int check(const BlockRequest& request) const {
    if (request.op == BlockOp::kFlush) return 0;
    if (!request.is_inside(disk_.size_.load(std::memory_order_relaxed))) return EINVAL;
    if (disk_.info_.read_only && request.op != BlockOp::kRead) return EROFS;
    return 0;
  }

  void start(BlockRequest& request) {
    Slot& slot = *free_.back();
    free_.pop_back();
    slot.request = &request;
    slot.flushing = false;
    slot.losses = disk_.losses_.load(std::memory_order_acquire);
    call_librbd(slot);
  }

  void call_librbd(Slot& slot) {
    const BlockRequest& request = *slot.request;
    rbd_completion_t completion = nullptr;
    int error = rbd_aio_create_completion(
        &slot,
        [](rbd_completion_t done, void* argument) {
          Slot& its = *static_cast<Slot*>(argument);
          const ssize_t result = rbd_aio_get_return_value(done);
          rbd_aio_release(done);
          its.channel->done(its, result < 0 ? static_cast<int>(-result) : 0);
        },
        &completion);
    if (error == 0) {
      error = issue(slot.flushing ? BlockOp::kFlush : request.op, request, completion);
      if (error < 0) rbd_aio_release(completion);
    }
    if (error < 0) done(slot, -error);
  }

  int issue(BlockOp op, const BlockRequest& request, rbd_completion_t completion) {
    const rbd_image_t image = disk_.image_->image();
    const int pieces = static_cast<int>(request.iov.size());
    switch (op) {
      case BlockOp::kRead: return rbd_aio_readv(image, request.iov.data(), pieces, request.offset, completion);
      case BlockOp::kWrite: return rbd_aio_writev(image, request.iov.data(), pieces, request.offset, completion);
      case BlockOp::kDiscard: return rbd_aio_discard(image, request.offset, request.length, completion);
      case BlockOp::kWriteZeroes:
        return rbd_aio_write_zeroes(image, request.offset, request.length, completion,
                                    request.may_unmap ? 0 : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION, 0);
      case BlockOp::kFlush: break;
    }
    return rbd_aio_flush(image, completion);
  }

  static bool is_flush(const Slot& slot) { return slot.flushing || slot.request->op == BlockOp::kFlush; }

  // Any thread. A loop that sleeps need not be woken: this thread borrows it.
  void done(Slot& slot, int error) {
    slot.error = error;
    // At once: the loop may look at others first that were done later.
    if (error != 0 && is_flush(slot)) disk_.losses_.fetch_add(1, std::memory_order_release);
    if (const LoopLease lease = announce(slot)) deliver();
  }

  LoopLease announce(Slot& slot) {
    MutexLock lock(mutex_);
    slot.next = std::exchange(done_, &slot);
    if (slot.next != nullptr) return {};  // whoever was told of that one has not looked yet
    LoopLease lease = loop_.try_borrow();
    if (!lease) notifier_->notify();
    return lease;
  }

  // What is done, in groups; what had to wait takes its place.
  void deliver() {
    SinkGroup sinks;
    Slot* slot;
    {
      MutexLock lock(mutex_);
      slot = std::exchange(done_, nullptr);
    }
    while (slot != nullptr) finish(*std::exchange(slot, slot->next), sinks);
    sinks.end();
  }

  void finish(Slot& slot, SinkGroup& sinks) {
    BlockRequest& request = *slot.request;
    const bool writes = request.op == BlockOp::kWrite || request.op == BlockOp::kWriteZeroes;
    if (slot.error == 0 && writes && request.stable && !std::exchange(slot.flushing, true)) {
      call_librbd(slot);
      return;
    }
    if (is_flush(slot)) doubt(slot);
    request.error = slot.error;
    free_.push_back(&slot);
    if (BlockRequest* const next = waiting_.pop()) start(*next);  // before what the sink may submit
    sinks.done(request);
  }

  // librbd tells one flush only that it has lost writes (docs/adr/0028). A stable write is at stake in those of its
  // time.
  void doubt(Slot& slot) const {
    const unsigned known = slot.flushing ? slot.losses : 0;
    if (slot.error == 0 && disk_.losses_.load(std::memory_order_acquire) != known) slot.error = EIO;
  }

  RbdDisk& disk_;
  EventLoop& loop_;
  std::vector<Slot> slots_;
  std::vector<Slot*> free_;
  RequestFifo waiting_;  // for a slot
  SubmitQueue incoming_;
  std::unique_ptr<Notifier> notifier_;
  Mutex mutex_;  // leaf
  Slot* done_ ACRN_GUARDED_BY(mutex_) = nullptr;
};

RbdDisk::RbdDisk(std::unique_ptr<RbdImage> image, const BlockInfo& info, uint64_t size)
    : image_(std::move(image)), info_(info), size_(size) {}

BlockInfo RbdDisk::info() const {
  BlockInfo info = info_;
  info.size = size_.load(std::memory_order_relaxed);
  return info;
}

Result<std::unique_ptr<BlockChannel>> RbdDisk::open_channel(EventLoop& loop, unsigned depth) {
  return Channel::create(*this, loop, depth);
}

Result<uint64_t> RbdDisk::refresh_size() {
  auto size = image_->size();
  if (size) size_.store(size.value(), std::memory_order_relaxed);
  return size;
}

void RbdDisk::on_new_size(const std::function<void()>& changed) {
  watch_.reset();
  if (changed) watch_ = std::make_unique<RbdWatch>(*image_, changed);
}

}  // namespace acrn
