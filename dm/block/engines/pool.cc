#include "dm/block/engines/pool.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "acrn/base/check.h"
#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/block/submit_queue.h"

namespace acrn {
namespace {

// Waking a colleague costs its waker some 5 us, and it starts some 20 us later.
constexpr std::chrono::nanoseconds kSlow = std::chrono::microseconds(20);
// Two threads copy such reads faster than one; writes to one file wait for each other.
constexpr uint64_t kLargeRead = 256 << 10;  // bytes
bool is_large_read(const BlockRequest& request) { return request.op == BlockOp::kRead && request.length >= kLargeRead; }
// An operation that was expected to be fast and has taken this long is blocking: someone else has to go on.
constexpr auto kStalled = std::chrono::microseconds(100);
constexpr size_t kMaxGroup = 16;  // requests that a worker takes at a time
// How long done requests may wait for others to be announced with them.
constexpr auto kAnnounceEvery = std::chrono::microseconds(20);

}  // namespace

// One loop's side. Used by its loop, except where it says otherwise.
class EnginePool::Channel final : public BlockChannel {
 public:
  Channel(EnginePool& pool, EventLoop& loop) : pool_(pool), loop_(loop), inline_(*pool.file_) {
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
    auto notifier = loop_.make_notifier([this] { deliver(); });
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
    // A loop that sleeps need not be woken: it is lent for this.
    if (!deliver_here || !loop_.try_enter()) return notifier_->notify();
    deliver();
    loop_.leave();
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
  SubmitQueue incoming_;
  InlineTransfers inline_;
};

void EnginePool::Channel::submit(std::span<BlockRequest* const> batch) {
  RequestFifo for_workers;
  incoming_.submit(batch, [&](BlockRequest& request) {
    auto outcome = InlineTransfers::Outcome::kNotTried;
    if (pool_.inline_requests_) outcome = inline_.attempt(request, pool_.paces_[kCachedWrites].fast());
    if (outcome == InlineTransfers::Outcome::kDone) return request.sink->request_done(request);
    request.engine_will_block = outcome == InlineTransfers::Outcome::kWouldWait;
    for_workers.push(request);
  });
  if (!for_workers.empty()) pool_.enqueue(*this, for_workers);
}

void EnginePool::Channel::deliver() {
  SinkGroup group;
  for (BlockRequest* request = completed_.take_all(); request != nullptr;) {
    BlockRequest* const next = request->engine_next;
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

void EnginePool::Pace::note(bool fast) {
  const unsigned run = fast_run_.load(std::memory_order_relaxed);
  const unsigned next = fast ? std::min(run + 1, kFastRun) : 0;
  if (next != run) fast_run_.store(next, std::memory_order_relaxed);
}

Result<std::unique_ptr<EnginePool>> EnginePool::create(std::unique_ptr<RawFile> file, const std::string& name,
                                                       bool inline_requests) {
  std::unique_ptr<EnginePool> pool(new EnginePool(std::move(file), inline_requests));
  if (auto started = pool->start_workers(name); !started) return started.error();
  return pool;
}

Result<void> EnginePool::start_workers(const std::string& name) {
  // Signals belong to the main thread; a new thread inherits the mask.
  sigset_t all, before;
  sigfillset(&all);
  for (const int crash : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) sigdelset(&all, crash);  // those are the thread's own
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  while (thread_count_ < kWorkers) {
    error = pthread_create(&threads_[thread_count_], nullptr, &EnginePool::worker_main, this);
    if (error != 0) break;
    pthread_setname_np(threads_[thread_count_], concat(name.substr(0, 12), "/w", thread_count_).c_str());
    thread_count_++;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) return {};
  return Error{ErrorKind::kInternal, concat("virtio-blk ", name, ": no worker thread: ", errno_text(error))};
}

EnginePool::~EnginePool() {
  {
    MutexLock lock(mutex_);
    ACRN_CHECK(pending_.empty());
    stopping_ = true;
  }
  work_.notify_all();
  while (thread_count_ > 0) pthread_join(threads_[--thread_count_], nullptr);
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
  }
  if (wake) work_.notify_one();
}

void EnginePool::assign(Element& element, BlockRequest& request) {
  element.request = &request;
  element.will_block = request.engine_will_block;
  pending_.push(element);
}

bool EnginePool::claim_wake() {
  if (pending_.empty() || idle_ == 0) return false;
  const unsigned enough = is_large_read(*pending_.front()->request) ? 2 : 1;
  if (active_ >= enough && (wakes_ > 0 || Clock::now() < done_by_)) return false;
  idle_--;
  active_++;
  wakes_++;
  return true;
}

void EnginePool::wait_until_returned(Channel& channel) {
  MutexLock lock(mutex_);
  while (channel.in_use_ > 0) returned_.wait(mutex_);
}

void* EnginePool::worker_main(void* pool) {
  // SAFETY: start_workers() passes `this`.
  static_cast<EnginePool*>(pool)->work();
  return nullptr;
}

void EnginePool::work() {
  ElementList busy, finished;
  MutexLock lock(mutex_);
  for (;;) {
    pending_.push_front(busy);
    retire(finished);
    while (pending_.empty()) {
      if (stopping_) return;
      sleep();
    }
    take_group(busy);
    const bool wake = claim_wake();
    lock.unlock();
    if (wake) work_.notify_one();
    serve(busy, finished);
    lock.lock();
  }
}

void EnginePool::sleep() {
  active_--;
  idle_++;
  while (wakes_ == 0 && !stopping_) work_.wait(mutex_);
  if (wakes_ > 0) {
    wakes_--;  // whoever chose us has counted us as active
  } else {
    active_++;
    idle_--;
  }
}

// One at a time of what is going to be waited for, so that others find something too. Fast ones in groups:
// fewer locks, and fewer notifications for the loop.
void EnginePool::take_group(ElementList& busy) {
  const Element& first = *pending_.front();
  const size_t count = may_block(first) || is_large_read(*first.request) ? 1 : std::min(pending_.size(), kMaxGroup);
  done_by_ = Clock::now() + kStalled;
  while (busy.size() < count) {
    done_by_ += copy_time(*pending_.front()->request);
    busy.push(*pending_.pop());
  }
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
    const bool aside = may_block(element);
    if (to_announce != nullptr && (aside || to_announce != element.channel || start - announced > kAnnounceEvery)) {
      std::exchange(to_announce, nullptr)->announce(false);
      announced = start;
    }
    if (aside) {
      step_aside();
      start = Clock::now();
    }
    request.error = file_->execute(request);
    const auto end = Clock::now();
    slow = end - std::exchange(start, end) > kSlow + copy_time(request);
    if (const size_t kind = pace_kind(request); kind < paces_.size()) paces_[kind].note(!slow);
    to_announce = element.channel;
    to_announce->complete(request);
    if (aside) step_back();
    finished.push(element);
  }
  if (to_announce != nullptr) to_announce->announce(busy.empty());
}

bool EnginePool::may_block(const Element& element) const {
  const size_t kind = pace_kind(*element.request);
  return element.will_block || kind >= paces_.size() || !paces_[kind].fast();
}

// What takes no longer than kSlow and this did not wait for a medium: a cached file's bytes are copied at 1 GB/s or
// more.
std::chrono::nanoseconds EnginePool::copy_time(const BlockRequest& request) const {
  return std::chrono::nanoseconds(file_->writes_to_cache() ? request.length : 0);
}

// Index into paces_; past its end for what is always taken for slow.
size_t EnginePool::pace_kind(const BlockRequest& request) {
  if (request.op == BlockOp::kRead) return kReads;
  if (request.op == BlockOp::kWrite) return request.stable ? kStableWrites : kCachedWrites;
  return kSlowKinds;
}

void EnginePool::step_aside() {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    active_--;
    wake = claim_wake();
  }
  if (wake) work_.notify_one();
}

void EnginePool::step_back() {
  MutexLock lock(mutex_);
  active_++;
}

}  // namespace acrn
