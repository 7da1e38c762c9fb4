#include "dm/loopback/loopback_ring.h"

#include "acrn/base/concat.h"

namespace acrn {

Result<DriverRing> create_ring(LoopbackMachine& machine, uint16_t size, uint16_t indirect_entries, bool event_index) {
  const auto base = machine.allocate(ring_layout(size).total_bytes, VIRTIO_PCI_VRING_ALIGN);
  const uint64_t table_bytes = uint64_t{size} * indirect_entries * sizeof(VringDesc);
  const auto tables = table_bytes != 0 ? machine.allocate(table_bytes, 16) : Gpa{};
  if (!base || !tables) return Error{ErrorKind::kInternal, concat("a ring of ", size, " does not fit into guest RAM")};
  DriverRing ring(*base, machine.ram(*base, ring_layout(size).total_bytes), size, event_index);
  if (table_bytes != 0) ring.use_tables(*tables, machine.ram(*tables, table_bytes), indirect_entries);
  return ring;
}

}  // namespace acrn
