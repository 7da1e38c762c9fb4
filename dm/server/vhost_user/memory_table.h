// MemoryTable: the regions of its guest's memory that a front end has shared. Each change makes a new map, and is in
// force when the call returns: nothing uses the old one any more. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/mem/peer_mapping.h"
#include "dm/mem/shared_mapping.h"
#include "dm/vhost_user/protocol.h"

namespace acrn::vhost_user {

class MemoryTable {
 public:
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 42;  // of all regions: address space is shared with others

  // Both outlive the table. `process`: the front end's, 0 if it is not known.
  MemoryTable(GuestMemory& memory, VirtioDevice& device, pid_t process)
      : memory_(memory), device_(device), mappings_(process) {}

  // These return 0 or an errno; after an error nothing has changed. ESTALE: the front end has its file mapped for
  // itself alone. Addresses and offsets are multiples of 4096; sizes may be anything. All regions, instead of those
  // before; a descriptor for each.
  int set(std::span<const MemoryRegionDescription> regions, std::span<const UniqueFd> descriptors);
  int add(const MemoryRegionDescription& region, const UniqueFd& descriptor);
  // By guest address, user address and size.
  int remove(const MemoryRegionDescription& region);
  void clear();

  bool empty() const { return regions_.empty(); }
  size_t size() const { return regions_.size(); }
  // Where an address of the front end's process is in guest memory.
  std::optional<Gpa> translate(uint64_t user) const;
  // The front end has taken away what it had shared.
  bool lost() const;

 private:
  struct Region {
    MemoryRegionDescription description;
    std::shared_ptr<const SharedMapping> memory;
  };
  using Regions = std::vector<Region>;

  int add_to(Regions& regions, const MemoryRegionDescription& region, const UniqueFd& descriptor);
  void replace(Regions regions);

  GuestMemory& memory_;
  VirtioDevice& device_;
  PeerMappings mappings_;
  Regions regions_;
};

}  // namespace acrn::vhost_user
