// SubmitQueue: what a channel's submit() has been given and has not looked at yet. A sink may call submit() again from
// request_done(). Such a call only adds to the queue, and the call that is under way handles what was added, so the
// stack does not grow. Owned by a channel, used on its loop. Nothing here allocates.
#pragma once

#include <span>
#include <utility>

#include "dm/block/request_list.h"

namespace acrn {

class SubmitQueue {
 public:
  void push(BlockRequest& request) { requests_.push(request); }
  void push(std::span<BlockRequest* const> batch) {
    for (BlockRequest* request : batch) requests_.push(*request);
  }
  // The oldest request, or null.
  BlockRequest* pop() { return requests_.pop(); }

  // Runs `body`, which pops what it handles. False: a body is running already, further out on the stack, and this one
  // is not run.
  template <typename Body>
  bool run(Body body) {
    if (std::exchange(running_, true)) return false;
    body();
    running_ = false;
    return true;
  }

  // A call of ours is on the stack.
  bool running() const { return running_; }

  // Calls handle(BlockRequest&) for each request, oldest first, until there is none. The request may be gone when
  // `handle` returns.
  template <typename Handle>
  bool drain(Handle handle) {
    return run([&] {
      while (BlockRequest* request = requests_.pop()) handle(*request);
    });
  }
  template <typename Handle>
  bool submit(std::span<BlockRequest* const> batch, Handle handle) {
    push(batch);
    return drain(std::move(handle));
  }

 private:
  RequestFifo requests_;
  bool running_ = false;
};

}  // namespace acrn
