// RbdDisk: an RBD image as a disk. In the module only. librbd carries requests out on threads of its own; what is done
// is handed to the channel's loop, as an engine's workers do.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "acrn/base/result.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/rbd/rbd_image.h"
#include "dm/block/sources/rbd/rbd_watch.h"

namespace acrn {

class RbdDisk final : public BlockBackend {
 public:
  // `info`: what info() is to say, but for its size, which is `size`.
  RbdDisk(std::unique_ptr<RbdImage> image, const BlockInfo& info, uint64_t size);

  BlockInfo info() const override;
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override;
  Result<uint64_t> refresh_size() override;
  void on_new_size(const std::function<void()>& changed) override;

 private:
  class Channel;

  const std::unique_ptr<RbdImage> image_;
  const BlockInfo info_;
  std::atomic<uint64_t> size_;
  std::atomic<unsigned> losses_{0};  // flushes that failed; from the first on every one does
  std::unique_ptr<RbdWatch> watch_;  // ends before the image
};

}  // namespace acrn
