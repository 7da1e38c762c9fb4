// Intrusive lists of block requests, linked by BlockRequest::engine_next, and the order in which sinks are
// told. Owned by a channel. Nothing here allocates.
#pragma once

#include <atomic>
#include <utility>

#include "acrn/block/blockif.h"

namespace acrn {

// First in, first out. One thread, or under its owner's lock.
class RequestFifo {
 public:
  bool empty() const { return head_ == nullptr; }
  // The oldest request, or null.
  BlockRequest* front() const { return head_; }
  void push(BlockRequest& request) {
    request.engine_next = nullptr;
    (tail_ == nullptr ? head_ : tail_->engine_next) = &request;
    tail_ = &request;
  }
  // The oldest request, or null.
  BlockRequest* pop() {
    BlockRequest* request = head_;
    if (request == nullptr) return nullptr;
    head_ = std::exchange(request->engine_next, nullptr);
    if (head_ == nullptr) tail_ = nullptr;
    return request;
  }

 private:
  BlockRequest* head_ = nullptr;
  BlockRequest* tail_ = nullptr;
};

// Done requests on their way from any thread to one loop: any number of push(), one thread that takes all.
class CompletionStack {
 public:
  bool empty() const { return head_.load(std::memory_order_relaxed) == nullptr; }
  // The request may be gone when this returns.
  void push(BlockRequest& request) {
    BlockRequest* head = head_.load(std::memory_order_relaxed);
    do {
      request.engine_next = head;
      // Release pairs with the acquire in take_all(): the loop sees the data, the error and the link.
    } while (!head_.compare_exchange_weak(head, &request, std::memory_order_release, std::memory_order_relaxed));
  }
  // Everything, oldest first, linked by engine_next.
  BlockRequest* take_all() {
    // Acquire pairs with the release in push(). Only whole stacks are taken, so there is no ABA.
    BlockRequest* newest = head_.exchange(nullptr, std::memory_order_acquire);
    BlockRequest* oldest = nullptr;
    while (newest != nullptr) {
      BlockRequest* const older = std::exchange(newest->engine_next, oldest);
      oldest = std::exchange(newest, older);
    }
    return oldest;
  }

 private:
  std::atomic<BlockRequest*> head_{nullptr};
};

// Tells sinks that requests are done, and each sink when its group has ended.
class SinkGroup {
 public:
  void done(BlockRequest& request) {
    note(*request.sink);
    request.sink->request_done(request);
  }
  // The sink is about to be told of a request by somebody else.
  void note(BlockSink& sink) {
    if (&sink != last_) end();
    last_ = &sink;
  }
  void end() {
    if (BlockSink* const sink = std::exchange(last_, nullptr)) sink->batch_done();
  }

 private:
  BlockSink* last_ = nullptr;
};

}  // namespace acrn
