#include "hw/pci/virtio/blk_slot.h"

namespace acrn {

std::optional<BlkRefusal> BlkSlot::load_segments(const BlkLimits& limits, const ParsedRequest& request) {
  op = request.header.type == VIRTIO_BLK_T_DISCARD ? BlockOp::kDiscard : BlockOp::kWriteZeroes;
  segment = 0;
  written_if_ok = 1;
  return read_segments(limits, request, segments, segment_count);
}

bool BlkSlot::prepare_segment(bool write_through) {
  while (segment < segment_count && segments[segment].num_sectors == 0) segment++;
  if (segment == segment_count) return false;
  const VirtioBlkDiscardWriteZeroes& next = segments[segment++];
  stable = op == BlockOp::kWriteZeroes && write_through;
  may_unmap = (next.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0;
  offset = disk_offset = next.sector << VIRTIO_BLK_SECTOR_SHIFT;
  length = uint64_t{next.num_sectors} << VIRTIO_BLK_SECTOR_SHIFT;
  iov = {};
  return true;
}

BlkSlots::BlkSlots(uint16_t size, uint32_t max_segments)
    : slots_(size),
      buffer_storage_(new iovec[size_t{size} * ChainBuffers::kVectors]),
      segment_storage_(new std::byte[size_t{size} * max_segments * sizeof(VirtioBlkDiscardWriteZeroes)]) {
  // SAFETY: segments are made of Le integers, aligned like bytes, and copied to before they are read.
  auto* const segments = reinterpret_cast<VirtioBlkDiscardWriteZeroes*>(segment_storage_.get());
  for (size_t i = 0; i < size; i++) {
    slots_[i].buffers.storage = {&buffer_storage_[i * ChainBuffers::kVectors], ChainBuffers::kVectors};
    slots_[i].segments = {segments + i * max_segments, max_segments};
  }
}

}  // namespace acrn
