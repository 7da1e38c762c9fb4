// What is served of a medium, whatever the medium is: its window, what the guest is told of it, and the filters above.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "acrn/block/block_options.h"
#include "dm/block/disk_facts.h"

namespace acrn {

inline constexpr uint32_t kSmallestSector = 512;  // bytes

struct Medium {
  std::string name;                                // for messages
  std::string kind;                                // DiskFacts::medium
  std::string identity;                            // DiskFacts::identity, without the window
  uint64_t size = 0;                               // bytes
  uint32_t physical_block = kSmallestSector;       // bytes, power of two
  uint32_t discard_granularity = kSmallestSector;  // bytes, power of two
  bool can_grow = false;                           // it is a file that may be written
};

struct DiskPlan {
  uint64_t start = 0;  // bytes of the medium, where the window starts; its size is facts.info.size
  DiskFacts facts;
};

// Errors: kUsage for a range outside, or a sector size that does not fit; kNoInput for a medium of broken sectors.
Result<DiskPlan> plan_disk(const BlockOptions& options, const Medium& medium);

// What is known of a planned disk.
template <class Plan>
Result<DiskFacts> take_facts(Result<Plan> plan) {
  if (!plan) return plan.error();
  return std::move(plan.value().facts);
}

// An option that does not fit the disk.
Error misfit(const std::string& name, const std::string& why);

uint32_t physical_of(const BlockOptions& options, uint32_t found);

// What the plan is of, above the whole medium. `align`: requests are to be brought to the medium's alignment.
std::unique_ptr<BlockBackend> in_filters(std::unique_ptr<BlockBackend> medium, bool align, const BlockOptions& options,
                                         const DiskPlan& plan);

}  // namespace acrn
