#include "dm/block/engines/pool.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

// Waking a colleague costs its waker about 5 us, and it starts about 20 us later.
constexpr std::chrono::nanoseconds kSlow = std::chrono::microseconds(20);
// Two threads copy such reads faster than one.
constexpr uint64_t kLargeRead = 256 << 10;  // bytes
bool is_large_read(const BlockRequest& request) { return request.op == BlockOp::kRead && request.length >= kLargeRead; }
// An operation that was expected to be fast and has taken this long is blocking: someone else has to go on.
constexpr auto kStalled = std::chrono::microseconds(100);
constexpr size_t kMaxGroup = 16;  // requests that a worker takes at a time
// How long done requests may wait for others to be announced with them.
constexpr auto kAnnounceEvery = std::chrono::microseconds(20);
// After a worker that the host could not start; those that run go on without it.
constexpr auto kNextStart = std::chrono::seconds(1);

}  // namespace

// One loop's side. Used by its loop, except where it says otherwise.
class EnginePool::Channel final : public BlockChannel {
 public:
  Channel(EnginePool& pool, EventLoop& loop) : pool_(pool), loop_(loop), inline_(*pool.file_, loop) {
    for (Element& element : elements_) {
      element.channel = this;
      free_.push(element);
    }
  }
  ~Channel() override {
    pool_.wait_until_returned(*this);
    deliver();
  }
  Result<void> listen() {
    auto notifier = loop_.make_short_notifier([this] { deliver(); });
    if (!notifier) return notifier.error();
    notifier_ = std::move(notifier).value();
    return {};
  }

  void submit(std::span<BlockRequest* const> batch) override;

  // Workers: a request is done, and (after one or more) the loop is to hear of it.
  void complete(BlockRequest& request) { completed_.push(request); }
  // `deliver_here`: the caller has nothing else to do.
  void announce(bool deliver_here) {
    // Empty: the loop has already taken what we pushed.
    if (completed_.empty()) return;
    // A loop that sleeps need not be woken: this thread borrows it.
    const LoopLease lease = deliver_here ? loop_.try_borrow() : LoopLease();
    if (!lease) return notifier_->notify();
    deliver();
  }

  // Under the pool's lock.
  ElementList free_;
  size_t in_use_ = 0;  // elements that are not on free_
  RequestFifo overflow_;

 private:
  void deliver();

  EnginePool& pool_;
  EventLoop& loop_;
  std::array<Element, kElements> elements_;
  std::unique_ptr<Notifier> notifier_;
  CompletionStack completed_;
  size_t with_workers_ = 0;  // requests
  SubmitQueue incoming_;
  InlineTransfers inline_;
};

void EnginePool::Channel::submit(std::span<BlockRequest* const> batch) {
  RequestFifo for_workers;
  // Where workers' reads are fast, as those of holes, nothing waits for the medium either.
  inline_.begin(batch, with_workers_ == 0 || pool_.predictors_[kReads].fast());
  incoming_.submit(batch, [&](BlockRequest& request) {
    const auto outcome = inline_.attempt(request, pool_.predictors_[kCachedWrites].fast());
    if (outcome == InlineTransfers::Outcome::kDone) return request.sink->request_done(request);
    request.engine_will_block = outcome == InlineTransfers::Outcome::kWouldWait;
    for_workers.push(request);
    with_workers_++;
  });
  if (!for_workers.empty()) pool_.enqueue(*this, for_workers);
}

void EnginePool::Channel::deliver() {
  SinkGroup group;
  for (BlockRequest* request = completed_.take_all(); request != nullptr;) {
    BlockRequest* const next = request->engine_next;
    with_workers_--;
    group.done(*request);
    request = next;
  }
  group.end();
}

void EnginePool::ElementList::push(Element& element) {
  element.next = nullptr;
  (tail_ == nullptr ? head_ : tail_->next) = &element;
  tail_ = &element;
  size_++;
}

void EnginePool::ElementList::push_front(ElementList& others) {
  if (others.empty()) return;
  others.tail_->next = head_;
  if (tail_ == nullptr) tail_ = others.tail_;
  head_ = others.head_;
  size_ += others.size_;
  others = ElementList();
}

EnginePool::Element* EnginePool::ElementList::pop() {
  Element* const element = head_;
  if (element == nullptr) return nullptr;
  head_ = element->next;
  if (head_ == nullptr) tail_ = nullptr;
  size_--;
  return element;
}

void EnginePool::LatencyPredictor::record(bool fast) {
  const unsigned run = fast_run_.load(std::memory_order_relaxed);
  const unsigned next = fast ? std::min(run + 1, kFastRun) : 0;
  if (next != run) fast_run_.store(next, std::memory_order_relaxed);
}

EnginePool::EnginePool(std::unique_ptr<RawFile> file, const std::string& name) : file_(std::move(file)), name_(name) {
  MutexLock lock(mutex_);
  if (!file_->writes_in_parallel()) lanes_[kCachedWrites].most = 1;
}

EnginePool::~EnginePool() {
  {
    MutexLock lock(mutex_);
    for (const Lane& lane : lanes_) ACRN_CHECK(lane.pending.empty());
    stopping_ = true;
  }
  work_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

Result<std::unique_ptr<BlockChannel>> EnginePool::open_channel(EventLoop& loop, unsigned) {
  auto channel = std::make_unique<Channel>(*this, loop);
  if (auto listening = channel->listen(); !listening) return listening.error();
  return std::unique_ptr<BlockChannel>(std::move(channel));
}

void EnginePool::enqueue(Channel& channel, RequestFifo& requests) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    while (BlockRequest* request = requests.pop()) {
      // The first come first: an element is free only while nobody waits for one.
      if (Element* element = channel.free_.pop(); element != nullptr) {
        channel.in_use_++;
        assign(*element, *request);
      } else {
        channel.overflow_.push(*request);
      }
    }
    wake = claim_wake();
    if (workers_ == 0) fail_pending(channel);
  }
  if (wake) work_.notify_one();
}

void EnginePool::assign(Element& element, BlockRequest& request) {
  element.request = &request;
  element.number = next_number_++;
  lane_of(request).pending.push(element);
}

// Everything pending is of this channel: the others' requests failed as this one's do now.
void EnginePool::fail_pending(Channel& channel) {
  const auto fail = [&](BlockRequest& request) {
    request.error = EAGAIN;
    channel.complete(request);
  };
  for (Lane& lane : lanes_) {
    while (Element* element = lane.pending.pop()) {
      fail(*element->request);
      channel.free_.push(*element);
      channel.in_use_--;
    }
  }
  while (BlockRequest* request = channel.overflow_.pop()) fail(*request);
  channel.announce(false);
}

EnginePool::Lane& EnginePool::lane_of(const BlockRequest& request) {
  return lanes_[std::min(kind_of(request), lanes_.size() - 1)];
}

bool EnginePool::only_reads() const {
  return lanes_[kCachedWrites].workers + lanes_[kStableWrites].workers == kWorkers;
}

EnginePool::Lane* EnginePool::next_lane() {
  Lane* next = nullptr;
  for (Lane& lane : lanes_) {
    if (lane.pending.empty() || lane.workers == lane.most || (only_reads() && &lane != &lanes_[kReads])) continue;
    if (next == nullptr || lane.pending.front()->number < next->pending.front()->number) next = &lane;
  }
  return next;
}

bool EnginePool::claim_wake() {
  const Lane* const lane = next_lane();
  if (lane == nullptr || (idle_ == 0 && workers_ >= kWorkers + (only_reads() ? 1 : 0))) return false;
  const unsigned enough = is_large_read(*lane->pending.front()->request) ? 2 : 1;
  if (active_ >= enough && (wakes_ > 0 || Clock::now() < done_by_)) return false;
  if (idle_ == 0 && !add_worker()) return false;
  idle_--;
  active_++;
  wakes_++;
  return true;
}

// Called by any thread that needs one: a loop, a kicking virtual CPU, a worker. Under the lock, so that nobody ends the
// pool between the decision and the start. That is nine times in a pool's life at most, unless it fails.
bool EnginePool::add_worker() {
  if (workers_ > 0 && Clock::now() < next_start_) return false;
  Thread& thread = threads_[workers_];
  const std::string name = concat(name_.substr(0, 12), "/w", workers_);
  if (auto started = thread.start(
          name, [this] { work(); }, Thread::Inherit::kProcess, Thread::Kind::kWorker);
      !started) {
    const bool first = next_start_ == Clock::time_point();
    next_start_ = Clock::now() + kNextStart;
    if (first) {
      log(LogLevel::kError, concat("virtio-blk ", name_, ": ", started.error().message,
                                   workers_ == 0         ? "; its requests fail until there is one worker"
                                   : workers_ < kWorkers ? "; fewer workers than 8 serve it"
                                                         : "; its reads wait for its writes",
                                   "; raise the limit on threads (ulimit -u, pids.max)"));
    }
    return false;
  }
  workers_++;
  idle_++;
  return true;
}

void EnginePool::wait_until_returned(Channel& channel) {
  MutexLock lock(mutex_);
  while (channel.in_use_ > 0) returned_.wait(mutex_);
}

void EnginePool::work() {
  ElementList busy, finished;
  MutexLock lock(mutex_);
  wait_for_wake();
  for (;;) {
    Lane* const lane = next_lane();
    if (lane == nullptr) {
      if (stopping_) return;
      sleep();
      continue;
    }
    take_group(*lane, busy);
    const bool wake = claim_wake();
    lock.unlock();
    if (wake) work_.notify_one();
    serve(busy, finished);
    lock.lock();
    leave(*lane, busy);
    retire(finished);
  }
}

void EnginePool::sleep() {
  active_--;
  idle_++;
  wait_for_wake();
}

void EnginePool::wait_for_wake() {
  while (wakes_ == 0 && !stopping_) work_.wait(mutex_);
  if (wakes_ > 0) {
    wakes_--;  // claim_wake() has counted us as active
  } else {
    active_++;
    idle_--;
  }
}

// One at a time of what is going to be waited for, so that others find something too. Fast ones in groups:
// fewer locks, and fewer notifications for the loop.
void EnginePool::take_group(Lane& lane, ElementList& busy) {
  lane.workers++;
  const BlockRequest& first = *lane.pending.front()->request;
  const size_t count = may_block(first) || is_large_read(first) ? 1 : std::min(lane.pending.size(), kMaxGroup);
  done_by_ = Clock::now() + kStalled;
  while (busy.size() < count) {
    done_by_ += copy_time(*lane.pending.front()->request);
    busy.push(*lane.pending.pop());
  }
}

void EnginePool::leave(Lane& lane, ElementList& not_done) {
  lane.pending.push_front(not_done);
  lane.workers--;
}

void EnginePool::retire(ElementList& finished) {
  while (Element* element = finished.pop()) {
    Channel& channel = *element->channel;
    if (BlockRequest* request = channel.overflow_.pop(); request != nullptr) {
      assign(*element, *request);
      continue;
    }
    channel.free_.push(*element);
    if (--channel.in_use_ == 0) returned_.notify_all();
  }
}

// Carries out a group, without the lock. Stops at one that was slow: what is left in `busy` goes back to the
// pending list, where others find it.
void EnginePool::serve(ElementList& busy, ElementList& finished) {
  Channel* to_announce = nullptr;
  auto start = Clock::now(), announced = start;
  for (bool slow = false; !busy.empty() && !slow;) {
    Element& element = *busy.pop();
    BlockRequest& request = *element.request;
    const bool blocking = may_block(request);
    if (to_announce != nullptr && (blocking || to_announce != element.channel || start - announced > kAnnounceEvery)) {
      std::exchange(to_announce, nullptr)->announce(false);
      announced = start;
    }
    if (blocking) {
      begin_blocking();
      start = Clock::now();
    }
    request.error = file_->execute(request);
    const auto end = Clock::now();
    const size_t kind = kind_of(request);
    slow = end - std::exchange(start, end) > slow_time(kind) + copy_time(request);
    if (kind < predictors_.size()) predictors_[kind].record(!slow);
    to_announce = element.channel;
    to_announce->complete(request);
    if (blocking) end_blocking();
    finished.push(element);
  }
  if (to_announce != nullptr) to_announce->announce(busy.empty());
}

bool EnginePool::may_block(const BlockRequest& request) const {
  const size_t kind = kind_of(request);
  return request.engine_will_block || kind >= predictors_.size() || !predictors_[kind].fast();
}

// From here on a colleague is worth its waking; but it is of no use to writes that wait for each other.
std::chrono::nanoseconds EnginePool::slow_time(size_t kind) const {
  return kind == kCachedWrites && !file_->writes_in_parallel() ? InlineTransfers::kSlow : kSlow;
}

// What takes no longer than slow_time() and this did not wait for a medium: a cached file's bytes are copied at 1 GB/s
// or more.
std::chrono::nanoseconds EnginePool::copy_time(const BlockRequest& request) const {
  return std::chrono::nanoseconds(file_->writes_to_cache() ? request.length : 0);
}

// Index into predictors_; past its end for what is always taken for slow.
size_t EnginePool::kind_of(const BlockRequest& request) {
  if (request.op == BlockOp::kRead) return kReads;
  if (request.op == BlockOp::kWrite) return request.stable ? kStableWrites : kCachedWrites;
  return kSlowKinds;
}

// This worker will not look at the pending list until end_blocking().
void EnginePool::begin_blocking() {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    active_--;
    wake = claim_wake();
  }
  if (wake) work_.notify_one();
}

void EnginePool::end_blocking() {
  MutexLock lock(mutex_);
  active_++;
}

}  // namespace acrn
