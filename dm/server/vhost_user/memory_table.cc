#include "dm/server/vhost_user/memory_table.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "acrn/base/round.h"
#include "dm/mem/bus_errors.h"

namespace acrn::vhost_user {
namespace {

bool wraps(uint64_t address, uint64_t size) { return address + (size - 1) < address; }

bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a <= b ? b - a < a_size : a - b < b_size;
}

bool same(const MemoryRegionDescription& a, const MemoryRegionDescription& b) {
  return a.guest == b.guest && a.user == b.user && a.size == b.size;
}

}  // namespace

int MemoryTable::add_to(Regions& regions, const MemoryRegionDescription& region, const UniqueFd& descriptor) {
  // So that what is aligned for the guest is so for us.
  if ((region.guest | region.user | region.offset) % kPageBytes != 0) return EINVAL;
  if (region.size == 0 || wraps(region.guest, region.size) || wraps(region.user, region.size)) return EINVAL;
  if (regions.size() == kMaxMemorySlots) return ENOSPC;
  uint64_t bytes = 0;
  for (const Region& other : regions) {
    if (overlap(other.description.guest, other.description.size, region.guest, region.size)) return EEXIST;
    if (overlap(other.description.user, other.description.size, region.user, region.size)) return EEXIST;
    bytes += other.description.size;
  }
  if (region.size > kMaxBytes || bytes > kMaxBytes - region.size) return ENOSPC;
  int error = EINVAL;
  std::shared_ptr<const SharedMapping> memory;
  if (catch_bus_errors()) memory = SharedMapping::create(descriptor.fd(), region.offset, region.size, error);
  if (memory == nullptr) return error;
  if (mappings_.are_private(descriptor.fd(), region.offset, region.size)) return ESTALE;
  regions.push_back({region, std::move(memory)});
  return 0;
}

int MemoryTable::set(std::span<const MemoryRegionDescription> regions, std::span<const UniqueFd> descriptors) {
  if (regions.size() != descriptors.size()) return EINVAL;
  Regions added;
  for (size_t i = 0; i < regions.size(); i++) {
    if (const int error = add_to(added, regions[i], descriptors[i]); error != 0) return error;
  }
  replace(std::move(added));
  return 0;
}

int MemoryTable::add(const MemoryRegionDescription& region, const UniqueFd& descriptor) {
  Regions regions = regions_;
  if (const int error = add_to(regions, region, descriptor); error != 0) return error;
  replace(std::move(regions));
  return 0;
}

int MemoryTable::remove(const MemoryRegionDescription& region) {
  Regions regions = regions_;
  if (std::erase_if(regions, [&](const Region& each) { return same(each.description, region); }) == 0) return ENOENT;
  replace(std::move(regions));
  return 0;
}

void MemoryTable::clear() {
  if (!empty()) replace({});
}

std::optional<Gpa> MemoryTable::translate(uint64_t user) const {
  for (const auto& [description, memory] : regions_) {
    if (user >= description.user && user - description.user < description.size) {
      return Gpa{description.guest + (user - description.user)};
    }
  }
  return std::nullopt;
}

bool MemoryTable::lost() const {
  return std::any_of(regions_.begin(), regions_.end(), [](const Region& each) { return each.memory->lost(); });
}

void MemoryTable::replace(Regions regions) {
  std::vector<MemoryRegion> mapped;
  for (const auto& [description, memory] : regions) {
    mapped.push_back(SharedMapping::region(memory, Gpa{description.guest}, description.size));
  }
  device_.suspend();
  memory_.replace(std::make_shared<const MemoryMap>(std::move(mapped)));
  device_.resume();
  regions_ = std::move(regions);
}

}  // namespace acrn::vhost_user
