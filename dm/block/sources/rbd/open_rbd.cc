#include "dm/block/sources/rbd/open_rbd.h"

#include <chrono>
#include <utility>

#include "acrn/base/concat.h"
#include "dm/block/disk_plan.h"
#include "dm/block/sources/rbd/rbd_module.h"

namespace acrn {
namespace {

constexpr uint32_t kRbdBlock = 4096, kRbdDiscard = 64 << 10;  // bytes

struct RbdPlan : DiskPlan {
  const RbdModule* module;
  RbdPlace place;
};

Result<RbdPlan> plan_rbd(const BlockOptions& options, const RbdName& image) {
  const std::string text = image.text();
  if (!image.snapshot.empty() && !options.read_only) return misfit(text, "a snapshot is read-only; give ro");
  const auto module = load_rbd_module();
  if (!module) return Error{module.error().kind, concat("virtio-blk ", text, ": ", module.error().message)};
  const RbdPlace place{.name = text,
                       .pool = image.pool,
                       .image = image.image,
                       .snapshot = image.snapshot,
                       .conf = options.conf,
                       .id = options.id,
                       .read_only = options.read_only,
                       .lock = options.lock,
                       .writeback = options.writeback,
                       .patience = std::chrono::seconds(options.reconnect)};
  const auto facts = module.value()->inspect(place);
  if (!facts) return facts.error();
  auto plan = plan_disk(options, {.name = text,
                                  .kind = "rbd",
                                  .identity = facts.value().identity,
                                  .size = facts.value().size,
                                  .physical_block = kRbdBlock,
                                  .discard_granularity = kRbdDiscard});
  if (!plan) return plan.error();
  return RbdPlan{std::move(plan).value(), module.value(), place};
}

}  // namespace

Result<DiskFacts> inspect_rbd_disk(const BlockOptions& options, const RbdName& name) {
  return take_facts(plan_rbd(options, name));
}

Result<OpenedDisk> open_rbd_disk(const BlockOptions& options, const RbdName& name) {
  const auto planned = plan_rbd(options, name);
  if (!planned) return planned.error();
  const RbdPlan& plan = planned.value();
  auto image = plan.module->open(plan.place, plan.facts.info);
  if (!image) return image.error();
  return OpenedDisk{plan.facts, in_filters(std::move(image).value(), false, options, plan)};
}

}  // namespace acrn
