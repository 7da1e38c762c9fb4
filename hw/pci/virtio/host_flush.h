// HostFlush: flushes of the disk that the host asks for, beside the guest's requests. On the channel's loop.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "acrn/block/blockif.h"

namespace acrn {

class HostFlush final : private BlockSink {
 public:
  // `done` is called on the loop with 0 or an errno, possibly before this returns. Allocates: not for the data path.
  void start(BlockChannel& channel, std::function<void(int)> done) {
    auto* flush = new Request;  // request_done() ends it
    flush->op = BlockOp::kFlush;
    flush->sink = this;
    flush->done = std::move(done);
    BlockRequest* request = flush;
    channel.submit({&request, 1});
  }

 private:
  struct Request : BlockRequest {
    std::function<void(int)> done;
  };

  void request_done(BlockRequest& request) override {
    const std::unique_ptr<Request> flush(static_cast<Request*>(&request));
    flush->done(flush->error);
  }
  void batch_done() override {}
};

}  // namespace acrn
