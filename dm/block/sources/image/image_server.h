// ImageServer: a program of QEMU's that reads the format of one image file, a child of ours. It serves the disk on a
// socket that only we have.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/block/block_options.h"
#include "dm/base/child_process.h"
#include "dm/block/sources/image/image_info.h"

namespace acrn {

// The one that the options ask for, or would get.
ImageReader reader_of(const BlockOptions& options);

// The child, until its end.
class ImageServer {
 public:
  // `path` as `options` say, by info.reader: over NBD, or over vhost-user. Path and chain are UTF-8. It has not
  // answered yet. Errors: kInternal; kUnavailable: there is no place for what a snapshot changes, or no qemu-img.
  static Result<std::unique_ptr<ImageServer>> start(const std::string& path, const BlockOptions& options,
                                                    const ImageInfo& info);

  // A path that leads to its socket as long as this lives. Nobody else can reach it.
  std::string socket() const;
  std::string last_words() { return child_->last_words(); }
  // There is no such program. Once it does not answer: its end may be seen a little later than that of its sockets.
  bool is_missing() { return child_->wait(std::chrono::seconds(5)) == ChildProcess::kNoProgram; }

 private:
  ImageServer(UniqueFd inode, std::unique_ptr<ChildProcess> child)
      : inode_(std::move(inode)), child_(std::move(child)) {}

  const UniqueFd inode_;  // of the socket, whose path is gone
  const std::unique_ptr<ChildProcess> child_;
};

}  // namespace acrn
