#include "dm/block/disk_plan.h"

#include <algorithm>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/block/filters/align.h"
#include "dm/block/filters/range.h"

namespace acrn {
namespace {

struct Window {
  uint64_t start = 0, size = 0;
};  // bytes

// The whole of a medium is served, and that is no whole number of sectors.
Error broken_sector(const BlockOptions& options, const Medium& medium) {
  const uint64_t sector = options.logical_sector, sectors = medium.size / sector;
  std::string advice;
  if (medium.can_grow) advice = concat("truncate -s ", (sectors + 1) * sector, " makes it one");
  if (sectors != 0) {
    advice += concat(medium.can_grow ? ", " : "", "range=0/", sectors, " leaves the last ", medium.size % sector,
                     " bytes out");
  }
  if (advice.empty()) advice = "it has not even one sector";
  const bool plain = sector == kSmallestSector;
  return {plain ? ErrorKind::kNoInput : ErrorKind::kUsage,
          concat("virtio-blk ", medium.name, plain ? ": " : concat(": sectorsize=", sector, ": "), "size ", medium.size,
                 " is not a multiple of ", plain ? "512 bytes" : "it", "; ", advice)};
}

Result<Window> window_of(const BlockOptions& options, const Medium& medium) {
  const uint64_t sector = options.logical_sector;
  if (!options.range) {
    if (medium.size % sector == 0) return Window{0, medium.size};
    return broken_sector(options, medium);
  }
  const uint64_t sectors = medium.size / sector;
  const BlockRange& range = *options.range;
  if (range.size != 0 && range.start <= sectors && range.size <= sectors - range.start) {
    return Window{range.start * sector, range.size * sector};
  }
  return misfit(medium.name,
                concat("range=", range.start, "/", range.size, ": ",
                       range.size == 0 ? "a window has at least one sector; there are " : "it ends outside; there are ",
                       sectors, " sectors of ", sector, " bytes"));
}

}  // namespace

Result<DiskPlan> plan_disk(const BlockOptions& options, const Medium& medium) {
  const auto window = window_of(options, medium);
  if (!window) return window.error();
  const auto [start, size] = window.value();
  DiskPlan plan;
  plan.start = start;
  plan.facts.info.size = size;
  plan.facts.info.physical_block = physical_of(options, medium.physical_block);
  plan.facts.info.discard_granularity = medium.discard_granularity;
  plan.facts.info.read_only = options.read_only;
  // A whole medium stays the same disk when it grows.
  plan.facts.identity = concat(medium.identity, options.range ? concat(":", start, "+", size) : ":whole");
  plan.facts.medium = medium.kind;
  return plan;
}

Error misfit(const std::string& name, const std::string& why) {
  return Error{ErrorKind::kUsage, concat("virtio-blk ", name, ": ", why)};
}

uint32_t physical_of(const BlockOptions& options, uint32_t found) {
  return std::max(options.physical_sector.value_or(found), options.logical_sector);
}

// The window is outermost: alignment is a matter of the whole medium's bytes.
std::unique_ptr<BlockBackend> in_filters(std::unique_ptr<BlockBackend> medium, bool align, const BlockOptions& options,
                                         const DiskPlan& plan) {
  if (align) medium = make_filter_align(std::move(medium));
  if (options.range) medium = make_filter_range(std::move(medium), plan.start, plan.facts.info.size);
  return medium;
}

}  // namespace acrn
