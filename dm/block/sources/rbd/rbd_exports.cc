#include "dm/block/sources/rbd/rbd_disk.h"
#include "dm/block/sources/rbd/rbd_image.h"
#include "dm/block/sources/rbd/rbd_module.h"

namespace acrn {
namespace {

Result<RbdFacts> inspect(const RbdPlace& place) {
  const auto image = RbdImage::open(place, true);
  if (!image) return image.error();
  return image.value()->facts();
}

Result<std::unique_ptr<BlockBackend>> open(const RbdPlace& place, const BlockInfo& info) {
  auto image = RbdImage::open(place, false);
  if (!image) return image.error();
  const auto size = image.value()->size();
  if (!size) return size.error();
  return std::unique_ptr<BlockBackend>(std::make_unique<RbdDisk>(std::move(image).value(), info, size.value()));
}

}  // namespace
}  // namespace acrn

extern "C" __attribute__((visibility("default")))
const acrn::RbdModule acrn_block_rbd{ACRN_DM_VERSION, acrn::inspect, acrn::open};
