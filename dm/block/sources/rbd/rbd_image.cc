#include "dm/block/sources/rbd/rbd_image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

namespace acrn {
namespace {

constexpr const char *kConnectPatience = "10",  // seconds that a cluster has to answer until the image is open
    *kRequestPatience = "rados_osd_op_timeout";
constexpr size_t kIdentitySize = 64;  // bytes

const char* text_or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

}  // namespace

Error RbdImage::refuse(const std::string& what, int error) const {
  return {ErrorKind::kNoInput, concat("virtio-blk ", place_.name, ": ", what, ": ", errno_text(-error))};
}

Result<std::unique_ptr<RbdImage>> RbdImage::open(const RbdPlace& place, bool look) {
  std::unique_ptr<RbdImage> made(new RbdImage(place));
  if (auto configured = made->configure(); !configured) return configured.error();
  if (auto connected = made->connect(); !connected) return connected.error();
  const bool reads = look || place.read_only;
  const int error = (reads ? rbd_open_read_only : rbd_open)(made->pool_, place.image.c_str(), &made->image_,
                                                            text_or_null(place.snapshot));
  if (error < 0) {
    made->image_ = nullptr;
    const bool no_snapshot = !place.snapshot.empty() && error == -ENOENT;
    return made->refuse(
        no_snapshot ? concat("image ", place.image, " or snapshot ", place.snapshot) : concat("image ", place.image),
        error);
  }
  if (!reads && place.lock) {
    if (auto locked = made->lock(); !locked) return locked.error();
  }
  // Of requests from here on.
  const std::string patience = std::to_string(std::max<int64_t>(place.patience.count(), 1));
  rados_conf_set(made->cluster_, kRequestPatience, patience.c_str());
  return made;
}

Result<void> RbdImage::configure() {
  if (const int error = rados_create(&cluster_, text_or_null(place_.id)); error < 0) {
    cluster_ = nullptr;
    return refuse("librados", error);
  }
  if (const int error = rados_conf_read_file(cluster_, text_or_null(place_.conf)); error < 0) {
    if (!place_.conf.empty()) return refuse(concat("conf=", place_.conf), error);
    return refuse("Ceph's configuration; name it, like conf=/etc/ceph/ceph.conf", error);
  }
  const std::array<std::array<const char*, 2>, 6> settings{{{"client_mount_timeout", kConnectPatience},
                                                            {"rados_mon_op_timeout", kConnectPatience},
                                                            {kRequestPatience, kConnectPatience},
                                                            {"rbd_cache", place_.writeback ? "true" : "false"},
                                                            {"log_to_stderr", "false"},
                                                            {"err_to_stderr", "false"}}};
  for (const auto& [name, value] : settings) rados_conf_set(cluster_, name, value);
  return {};
}

Result<void> RbdImage::connect() {
  if (const int error = rados_connect(cluster_); error < 0) return refuse("the cluster", error);
  if (const int error = rados_ioctx_create(cluster_, place_.pool.c_str(), &pool_); error < 0) {
    pool_ = nullptr;
    return refuse(concat("pool ", place_.pool), error);
  }
  return {};
}

// Kept until the end: nobody else gets it while we live, and when we do not, Ceph shuts us out before it gives it away.
Result<void> RbdImage::lock() {
  uint64_t features = 0;
  if (const int error = rbd_get_features(image_, &features); error < 0) return refuse("its features", error);
  if ((features & RBD_FEATURE_EXCLUSIVE_LOCK) == 0) {
    return Error{ErrorKind::kNoInput,
                 concat("virtio-blk ", place_.name,
                        ": it has no exclusive-lock, so others could write it, too; rbd feature enable ", place_.pool,
                        "/", place_.image, " exclusive-lock, or give lock=off")};
  }
  const int error = rbd_lock_acquire(image_, RBD_LOCK_MODE_EXCLUSIVE);
  locked_ = error == 0;
  if (locked_) return {};
  if (error == -EBUSY || error == -EROFS) {
    return Error{ErrorKind::kNoInput,
                 concat("virtio-blk ", place_.name,
                        ": somebody else has its lock; free it, or give lock=off if it is meant to "
                        "be shared")};
  }
  return refuse("its exclusive lock", error);
}

RbdImage::~RbdImage() {
  if (locked_) rbd_lock_release(image_);
  if (image_ != nullptr) rbd_close(image_);
  if (pool_ != nullptr) rados_ioctx_destroy(pool_);
  if (cluster_ != nullptr) rados_shutdown(cluster_);
}

Result<uint64_t> RbdImage::size() const {
  uint64_t size = 0;
  const int error = rbd_get_size(image_, &size);
  if (error == 0) return size;
  return Error{ErrorKind::kIo, concat("virtio-blk ", place_.name, ": its size: ", errno_text(-error))};
}

Result<RbdFacts> RbdImage::facts() const {
  std::array<char, kIdentitySize> cluster{}, image{};
  int error = rados_cluster_fsid(cluster_, cluster.data(), cluster.size());
  if (error >= 0) error = rbd_get_id(image_, image.data(), image.size());
  if (error < 0) return refuse("its identity", error);
  auto bytes = size();
  if (!bytes) return bytes.error();
  return RbdFacts{bytes.value(), concat("rbd:", cluster.data(), "/", place_.pool, "/", image.data(),
                                        place_.snapshot.empty() ? "" : concat("@", place_.snapshot))};
}

}  // namespace acrn
