// RbdImage: a connection to a Ceph cluster, and an image that is open there. In the module only.
#pragma once

#include <rados/librados.h>
#include <rbd/librbd.h>

#include <cstdint>
#include <memory>

#include "acrn/base/result.h"
#include "dm/block/sources/rbd/rbd_module.h"

namespace acrn {

// librbd takes any thread's calls.
class RbdImage {
 public:
  // `look`: without a lock, and without a change. Errors: as of RbdModule.
  static Result<std::unique_ptr<RbdImage>> open(const RbdPlace& place, bool look);
  ~RbdImage();
  RbdImage(const RbdImage&) = delete;
  RbdImage& operator=(const RbdImage&) = delete;

  rbd_image_t image() const { return image_; }
  // Bytes. Errors: kIo.
  Result<uint64_t> size() const;
  // Errors: kIo.
  Result<RbdFacts> facts() const;

 private:
  explicit RbdImage(const RbdPlace& place) : place_(place) {}
  Result<void> configure();
  Result<void> connect();
  Result<void> lock();
  Error refuse(const std::string& what, int error) const;

  const RbdPlace place_;
  rados_t cluster_ = nullptr;
  rados_ioctx_t pool_ = nullptr;
  rbd_image_t image_ = nullptr;
  bool locked_ = false;
};

}  // namespace acrn
