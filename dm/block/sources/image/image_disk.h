// ImageDisk: an image file in a format of its own, as a disk: what the program that reads the format serves.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "dm/block/sources/image/image_server.h"

namespace acrn {

class ImageDisk final : public BlockBackend {
 public:
  // Waits until the program has the image open. `info`: what info() is to say, but for what the program decides: size
  // and alignment. Errors, in one line: kNoInput, kUnavailable, kInternal.
  static Result<std::unique_ptr<ImageDisk>> open(const std::string& path, const BlockOptions& options,
                                                 const ImageInfo& image, const BlockInfo& info);

  BlockInfo info() const override { return source_->info(); }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    return source_->open_channel(loop, depth);
  }
  Result<uint64_t> refresh_size() override { return info().size; }
  void use_memory(const std::shared_ptr<const MemoryMap>& memory) override { source_->use_memory(memory); }

 private:
  ImageDisk(std::unique_ptr<ImageServer> server, std::unique_ptr<BlockBackend> source)
      : server_(std::move(server)), source_(std::move(source)) {}

  const std::unique_ptr<ImageServer> server_;
  const std::unique_ptr<BlockBackend> source_;
};

}  // namespace acrn
