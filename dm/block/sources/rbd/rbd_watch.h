// RbdWatch: is told when an image's header has changed, as by `rbd resize`.
#pragma once

#include <rbd/librbd.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "dm/block/sources/rbd/rbd_image.h"

namespace acrn {

class RbdWatch {
 public:
  // `changed` is called on a thread of librbd's. A cluster that does not take the watch is never heard of.
  RbdWatch(const RbdImage& image, std::function<void()> changed) : image_(image), changed_(std::move(changed)) {
    const auto call = [](void* self) { static_cast<RbdWatch*>(self)->changed_(); };
    watches_ = rbd_update_watch(image_.image(), &handle_, call, this) == 0;
  }
  // Returns when no call is running.
  ~RbdWatch() {
    if (watches_) rbd_update_unwatch(image_.image(), handle_);
  }
  RbdWatch(const RbdWatch&) = delete;
  RbdWatch& operator=(const RbdWatch&) = delete;

 private:
  const RbdImage& image_;
  const std::function<void()> changed_;
  uint64_t handle_ = 0;
  bool watches_ = false;
};

}  // namespace acrn
