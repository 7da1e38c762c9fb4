#include "dm/block/open_disk_map.h"

#include <utility>
#include <variant>

#include "dm/block/sources/file_map.h"
#include "dm/block/sources/nbd/nbd_map.h"

namespace acrn {
namespace {

class WindowMap final : public DiskMap {
 public:
  WindowMap(std::unique_ptr<DiskMap> whole, uint64_t start) : whole_(std::move(whole)), start_(start) {}
  Extent extent_at(uint64_t offset) override { return whole_->extent_at(start_ + offset); }

 private:
  const std::unique_ptr<DiskMap> whole_;
  const uint64_t start_;  // bytes
};

std::unique_ptr<DiskMap> open_whole(const BlockOptions& options) {
  if (const auto* nbd = std::get_if<NbdUri>(&options.source)) return open_nbd_map(nbd->uri);
  const auto* const file = std::get_if<FilePath>(&options.source);
  return file != nullptr && !options.is_image() ? open_file_map(file->path) : nullptr;
}

}  // namespace

std::unique_ptr<DiskMap> open_disk_map(const BlockOptions& options) {
  auto map = open_whole(options);
  if (map == nullptr || !options.range) return map;
  return std::make_unique<WindowMap>(std::move(map), options.range->start * options.logical_sector);
}

}  // namespace acrn
