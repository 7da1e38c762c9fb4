#include "dm/block/sources/open_ram.h"

#include <utility>

#include "acrn/base/concat.h"
#include "dm/block/disk_plan.h"
#include "dm/block/sources/ram_disk.h"

namespace acrn {
namespace {

Result<DiskPlan> plan_ram(const BlockOptions& options, uint64_t size, const std::string& slot) {
  const std::string name = concat("ram:", size);
  if (size == 0 || size % kSmallestSector != 0) return misfit(name, "the size is a multiple of 512 bytes and not 0");
  auto plan =
      plan_disk(options, {.name = name, .kind = "ram", .size = size, .discard_granularity = kRamDiskGranularity});
  if (!plan) return plan.error();
  plan.value().facts.identity = concat("ram:", slot);
  return plan;
}

}  // namespace

Result<DiskFacts> inspect_ram(const BlockOptions& options, uint64_t size, const std::string& slot) {
  return take_facts(plan_ram(options, size, slot));
}

Result<OpenedDisk> open_ram(const BlockOptions& options, uint64_t size, const std::string& slot) {
  const auto plan = plan_ram(options, size, slot);
  if (!plan) return plan.error();
  BlockInfo whole = plan.value().facts.info;
  whole.size = size;
  auto ram = make_ram_disk(whole);
  if (!ram) return ram.error();
  return OpenedDisk{plan.value().facts, in_filters(std::move(ram).value(), false, options, plan.value())};
}

}  // namespace acrn
