// BlkSlot: one request of a guest, from its chain to its status byte: what the queue keeps of it while a channel
// carries it out. BlkSlots: those of a queue, with all the memory that they need. On the queue's loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "acrn/block/blockif.h"
#include "hw/pci/virtio/blk_counters.h"
#include "hw/pci/virtio/blk_request.h"
#include "hw/pci/virtio/virtqueue.h"

namespace acrn {

struct BlkSlot : BlockRequest {
  DescChain chain;       // pending: the slot is taken
  bool held = false;     // it failed, and waits to be tried again
  bool retried = false;  // it was held before
  bool overdue = false;  // its time limit has passed
  ChainBuffers buffers;
  DiskRequestKind kind = DiskRequestKind::kOther;
  RequestTimes times;
  uint64_t disk_offset = 0;                         // bytes: `offset`, which a channel may change
  uint32_t written_if_ok = 0;                       // used length of a success
  std::span<VirtioBlkDiscardWriteZeroes> segments;  // preallocated
  size_t segment = 0, segment_count = 0;            // the next one, and how many there are

  // Each of these makes the slot the block request that the guest's request asks for.
  // `stable_write`: it writes, and is done when that is on stable storage.
  void prepare_transfer(const ParsedRequest& request, bool stable_write) {
    const bool write = request.writes();
    op = write ? BlockOp::kWrite : BlockOp::kRead;
    stable = stable_write;
    offset = disk_offset = request.header.sector << VIRTIO_BLK_SECTOR_SHIFT;
    length = request.data_bytes();
    iov = write ? request.out : request.in;
    written_if_ok = write ? 1 : static_cast<uint32_t>(length + 1);
  }
  void prepare_flush() {
    op = BlockOp::kFlush;
    offset = length = 0;
    iov = {};
    written_if_ok = 1;
  }
  // A list of segments is carried out one after the other. Copies and checks it; prepare_segment() does the rest.
  std::optional<BlkRefusal> load_segments(const BlkLimits& limits, const ParsedRequest& request);
  // The next segment that has sectors; `write_through`: zeroes are on stable storage when it is done. False: none is
  // left.
  bool prepare_segment(bool write_through);
  bool has_segments() const { return op == BlockOp::kDiscard || op == BlockOp::kWriteZeroes; }
  // Which of them it is now; 0 for a request without a list.
  size_t segment_index() const { return has_segments() ? segment - 1 : 0; }
};

class BlkSlots {
 public:
  // `size` slots, for requests of at most that many segments.
  BlkSlots(uint16_t size, uint32_t max_segments);

  // By the head of a chain; below `size`.
  BlkSlot& operator[](uint16_t head) { return slots_[head]; }
  auto begin() { return slots_.begin(); }
  auto end() { return slots_.end(); }

 private:
  std::vector<BlkSlot> slots_;
  // Left uninitialised: pages are touched by the requests that need them.
  std::unique_ptr<iovec[]> buffer_storage_;
  std::unique_ptr<std::byte[]> segment_storage_;
};

}  // namespace acrn
