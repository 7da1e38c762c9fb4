#include "dm/block/sources/nbd/open_nbd.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/block/disk_plan.h"
#include "dm/block/sources/key_file.h"
#include "dm/block/sources/nbd/nbd_files.h"
#include "dm/block/sources/nbd/nbd_source.h"

namespace acrn {
namespace {

struct NbdPlan : DiskPlan {
  NbdFacts found;
};

Result<NbdPlan> plan_nbd(const BlockOptions& options, const std::string& uri) {
  for (const std::string& file : nbd_files(uri)) {
    std::error_code missing;  // which is told of when it is wanted
    if (!std::filesystem::exists(file, missing) || std::filesystem::is_directory(file, missing)) continue;
    if (const std::string why = why_no_key_file(file); !why.empty()) return misfit(uri, concat(file, ": ", why));
  }
  const auto found = inspect_nbd(uri);
  if (!found) return found.error();
  if (found.value().size == 0) return misfit(uri, "the export is empty");
  if (found.value().read_only && !options.read_only) return misfit(uri, "the export is read-only; give ro");
  const uint32_t block = std::max(kSmallestSector, found.value().preferred);
  auto plan = plan_disk(options, {.name = uri,
                                  .kind = "nbd",
                                  .identity = "nbd:" + uri,
                                  .size = found.value().size,
                                  .physical_block = block,
                                  .discard_granularity = block});
  if (!plan) return plan.error();
  return NbdPlan{std::move(plan).value(), found.value()};
}

}  // namespace

Result<DiskFacts> inspect_nbd_disk(const BlockOptions& options, const std::string& uri) {
  return take_facts(plan_nbd(options, uri));
}

Result<OpenedDisk> open_nbd_disk(const BlockOptions& options, const std::string& uri) {
  const auto planned = plan_nbd(options, uri);
  if (!planned) return planned.error();
  const NbdPlan& plan = planned.value();
  BlockInfo whole = plan.facts.info;
  whole.offset_alignment = plan.found.least;
  NbdPlace place{uri, {.name = uri, .patience = std::chrono::seconds(options.reconnect)}};
  auto source = std::make_unique<NbdSource>(std::move(place), plan.found, whole);
  return OpenedDisk{plan.facts, in_filters(std::move(source), plan.found.least > kSmallestSector, options, plan)};
}

}  // namespace acrn
