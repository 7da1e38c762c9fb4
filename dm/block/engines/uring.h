// EngineUring: `aio=io_uring`, the kernel's own queue for requests. Each channel has a ring, which its loop alone
// submits to and waits in; there are no threads of ours. What the page cache has is read without it.
//
// Owned by the stack that dm/block/sources/open_file.cc builds. Channels live on their loops.
#pragma once

#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/raw_file.h"

namespace acrn {

class EngineUring final : public BlockBackend {
 public:
  // 0, or the errno that says why this host has no io_uring for us.
  static int unavailable();

  explicit EngineUring(std::unique_ptr<RawFile> file) : file_(std::move(file)) {}

  BlockInfo info() const override;
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override { return file_->refresh_size(); }

 private:
  class Channel;

  const std::unique_ptr<RawFile> file_;
};

}  // namespace acrn
