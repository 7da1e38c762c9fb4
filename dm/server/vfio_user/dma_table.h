// DmaTable: the pieces of its memory that a client has granted, and the MemoryMap made of those that can be mapped.
// Each change makes a new map, and is in force when the call returns: nothing uses the old one any more. One thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "acrn/base/log.h"
#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/pci/pci_function.h"
#include "dm/mem/peer_mapping.h"
#include "dm/mem/shared_mapping.h"
#include "dm/server/vfio_user/protocol.h"

namespace acrn::vfio_user {

class DmaTable {
 public:
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 42;  // of all pieces: address space is shared with other clients

  // Both outlive the table.
  DmaTable(GuestMemory& memory, PciFunction& function) : memory_(memory), function_(function) {}

  struct Client {
    PeerMappings mappings;
    bool runs = false;  // its machine may run, and would end if a piece were refused
  };
  // These return 0 or an errno; after an error nothing has changed.
  // A piece without a descriptor, or not for reading and writing, is memory that the function cannot reach.
  int map(const DmaMap& piece, const UniqueFd& fd, Client& client);
  int unmap(const DmaUnmap& piece);
  void clear();

  bool empty() const { return pieces_.empty(); }
  // Whether any of it is memory that we see.
  bool usable() const;
  // How often that has been in the way, of all clients.
  uint64_t count_unusable() { return ++unusable_; }
  // The client has taken away what it had granted.
  bool lost() const;

 private:
  struct Piece {
    uint64_t size = 0;                            // bytes
    std::shared_ptr<const SharedMapping> memory;  // null: not reachable
  };

  bool overlaps(uint64_t address, uint64_t size) const;
  void replace();
  void tell(LogLevel level, const DmaMap& piece, std::string_view what);

  GuestMemory& memory_;
  PciFunction& function_;
  std::map<uint64_t, Piece> pieces_;  // by address
  uint64_t bytes_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> told_;  // how often something was said of a piece, of all clients
  uint64_t lines_ = 0;
  uint64_t unusable_ = 0;
};

}  // namespace acrn::vfio_user
