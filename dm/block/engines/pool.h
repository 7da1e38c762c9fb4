// EnginePool: `aio=threads`, up to eight workers per disk that make the system calls. A channel keeps 64 elements;
// each holds one request and is on its channel's free list, on a pending list of the pool or with a worker
// (busy), all under one lock. Requests beyond that wait in their channel's overflow list.
//
// Owned by the stack that dm/block/sources/open_file.cc builds. Channels live on their loops; the workers are ours.
// Each is started when it is first needed, so an idle disk has none. If one cannot be started, those that run do its
// work; if there is none at all, requests fail with EAGAIN.
//
// Waking a thread costs more than a read that the page cache can serve, so there are two short cuts:
//  - submit() itself carries out small reads that need not wait for a medium, and small cached writes while those are
//    fast;
//  - one worker serves everything as long as operations are fast. An operation that may block (by its kind, or because
//    others of its kind were slow lately) begins with waking a colleague for what is still pending, so a slow medium
//    gets all eight; but cached writes of a file have one, as the kernel carries out one at a time.
// Writes and syncs may all have to wait, for a full page cache or a frozen file system. A ninth worker is started for
// reads that come while they have all eight.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/base/thread.h"
#include "dm/block/engines/inline_transfers.h"
#include "dm/block/request_list.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {

class EnginePool final : public BlockBackend {
 public:
  static constexpr unsigned kWorkers = 8;
  static constexpr unsigned kElements = 64;  // per channel

  // `name` names the threads (12 characters are shown).
  EnginePool(std::unique_ptr<RawFile> file, const std::string& name);
  // Every channel is gone before.
  ~EnginePool() override;

  BlockInfo info() const override { return file_->info(); }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override { return file_->refresh_size(); }

 private:
  class Channel;
  using Clock = std::chrono::steady_clock;

  struct Element {
    Element* next = nullptr;
    Channel* channel = nullptr;
    BlockRequest* request = nullptr;
    uint64_t number = 0;  // the first come has the lowest
  };

  // First in, first out; under mutex_, or a worker's own.
  class ElementList {
   public:
    bool empty() const { return head_ == nullptr; }
    size_t size() const { return size_; }
    Element* front() const { return head_; }
    void push(Element& element);
    void push_front(ElementList& others);  // leaves `others` empty
    Element* pop();

   private:
    Element* head_ = nullptr;
    Element* tail_ = nullptr;
    size_t size_ = 0;
  };

  // Requests that wait for a worker, of a kind that so many workers may carry out at a time.
  struct Lane {
    ElementList pending;
    unsigned workers = 0;  // that carry out some of it
    unsigned most = kWorkers;
  };

  // Guesses from the last few operations of a kind whether the next one is worth a hand-off. A hint that
  // several workers update: a lost update costs one wrong guess.
  class LatencyPredictor {
   public:
    bool fast() const { return fast_run_.load(std::memory_order_relaxed) >= kFastRun; }
    void record(bool fast);

   private:
    static constexpr unsigned kFastRun = 4;
    std::atomic<unsigned> fast_run_{0};  // relaxed everywhere: nothing else is published by it
  };

  // Channels, on their loops.
  void enqueue(Channel& channel, RequestFifo& requests) ACRN_EXCLUDES(mutex_);
  void wait_until_returned(Channel& channel) ACRN_EXCLUDES(mutex_);

  // Workers.
  void work();
  void serve(ElementList& busy, ElementList& finished);
  bool may_block(const BlockRequest& request) const;
  std::chrono::nanoseconds slow_time(size_t kind) const;
  std::chrono::nanoseconds copy_time(const BlockRequest& request) const;
  static size_t kind_of(const BlockRequest& request);
  Lane& lane_of(const BlockRequest& request) ACRN_REQUIRES(mutex_);
  // Writes and syncs have all workers that they may have.
  bool only_reads() const ACRN_REQUIRES(mutex_);
  // Where the first request waits that a worker may take now. Null: there is none.
  Lane* next_lane() ACRN_REQUIRES(mutex_);
  void take_group(Lane& lane, ElementList& busy) ACRN_REQUIRES(mutex_);
  void leave(Lane& lane, ElementList& not_done) ACRN_REQUIRES(mutex_);
  void retire(ElementList& finished) ACRN_REQUIRES(mutex_);
  void assign(Element& element, BlockRequest& request) ACRN_REQUIRES(mutex_);
  void sleep() ACRN_REQUIRES(mutex_);
  void wait_for_wake() ACRN_REQUIRES(mutex_);
  void begin_blocking() ACRN_EXCLUDES(mutex_);
  void end_blocking() ACRN_EXCLUDES(mutex_);
  // Chooses an idle worker, or a new one, to be woken if something is pending and no one else is about to look at it.
  // True: the caller notifies work_ once it has dropped the lock.
  bool claim_wake() ACRN_REQUIRES(mutex_);
  // Starts one more worker, which begins asleep. False: the host has no thread for it.
  bool add_worker() ACRN_REQUIRES(mutex_);
  // There is no worker and none can be started: what is pending fails.
  void fail_pending(Channel& channel) ACRN_REQUIRES(mutex_);

  const std::unique_ptr<RawFile> file_;
  const std::string name_;
  enum Kind : size_t { kReads, kCachedWrites, kStableWrites, kSlowKinds };
  std::array<LatencyPredictor, kSlowKinds> predictors_;

  Mutex mutex_;  // leaf
  CondVar work_;
  CondVar returned_;
  std::array<Lane, kSlowKinds> lanes_ ACRN_GUARDED_BY(mutex_);  // of each Kind; the last one's is also for the rest
  uint64_t next_number_ ACRN_GUARDED_BY(mutex_) = 0;
  unsigned active_ ACRN_GUARDED_BY(mutex_) = 0;        // workers that will look for a lane soon
  unsigned idle_ ACRN_GUARDED_BY(mutex_) = 0;          // asleep and not yet chosen to be woken
  unsigned wakes_ ACRN_GUARDED_BY(mutex_) = 0;         // chosen, not yet awake
  Clock::time_point done_by_ ACRN_GUARDED_BY(mutex_);  // what was taken last, unless it blocks
  bool stopping_ ACRN_GUARDED_BY(mutex_) = false;

  std::array<Thread, kWorkers + 1> threads_ ACRN_GUARDED_BY(mutex_);
  unsigned workers_ ACRN_GUARDED_BY(mutex_) = 0;          // threads_ that have been started
  Clock::time_point next_start_ ACRN_GUARDED_BY(mutex_);  // after one that failed; before the first such, the epoch
};

}  // namespace acrn
