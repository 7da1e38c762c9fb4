// ImageDisk: an image file in a format of its own, as a disk. qemu-nbd, a child of ours, reads the format and serves it
// on a socket that only we have; the requests are those of an NBD export.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "acrn/block/blockif.h"
#include "dm/base/child_process.h"
#include "dm/block/sources/image/image_info.h"
#include "dm/block/sources/nbd/nbd_source.h"

namespace acrn {

// The child, until its end.
class ImageServer {
 public:
  // `path` as `options` say. Path and chain are UTF-8. It has not answered yet. Errors: kInternal; kUnavailable: there
  // is no place for what a snapshot changes, or no qemu-img.
  static Result<std::unique_ptr<ImageServer>> start(const std::string& path, const BlockOptions& options,
                                                    const ImageInfo& info);

  // Where it serves. Nobody else can reach it.
  std::string uri() const;
  std::string last_words() { return child_->last_words(); }
  // There is no qemu-nbd. Once it does not answer: its end may be seen a little later than that of its sockets.
  bool is_missing() { return child_->wait(std::chrono::seconds(5)) == ChildProcess::kNoProgram; }

 private:
  ImageServer(UniqueFd socket, std::unique_ptr<ChildProcess> child)
      : socket_(std::move(socket)), child_(std::move(child)) {}

  const UniqueFd socket_;  // its inode, whose path is gone
  const std::unique_ptr<ChildProcess> child_;
};

class ImageDisk final : public BlockBackend {
 public:
  // `info`: what info() is to say. `facts`: of the child's export.
  ImageDisk(std::unique_ptr<ImageServer> server, const std::string& name, const NbdFacts& facts, const BlockInfo& info);

  BlockInfo info() const override { return source_.info(); }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    return source_.open_channel(loop, depth);
  }
  Result<uint64_t> refresh_size() override { return info().size; }

 private:
  const std::unique_ptr<ImageServer> server_;
  NbdSource source_;
};

}  // namespace acrn
