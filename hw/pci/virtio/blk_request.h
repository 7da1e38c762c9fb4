// What a virtio-blk request says and whether it may be carried out (virtio 0.9.5 appendix D, virtio 1.2 5.2.6).
// Pure: reads the header and the segment list, once, and touches nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "acrn/block/disk_stats.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_spec.h"
#include "hw/pci/virtio/virtqueue.h"

namespace acrn {

// What of the device decides over a request. Sectors are 512 bytes.
struct BlkLimits {
  uint64_t capacity = 0;  // sectors; 0: no medium
  uint64_t accepted = 0;  // features
  bool read_only = false;
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_segments = 0;
};

// A chain taken apart: header and data either way. Framing is free (VIRTIO_F_ANY_LAYOUT): the header is the first
// 16 readable bytes and the status the last writable one, wherever descriptors begin and end.
struct ParsedRequest {
  VirtioBlkOuthdr header;
  std::span<const iovec> out, in;  // data to the device, data from the device
  uint64_t out_bytes = 0, in_bytes = 0;

  bool writes() const { return header.type == VIRTIO_BLK_T_OUT; }
  uint64_t data_bytes() const { return writes() ? out_bytes : in_bytes; }  // of IN and OUT
  std::optional<GuestRule> broken;
};

// What the statistics call a request of that type.
DiskRequestKind kind_of(uint32_t type);

// Shrinks the buffers' I/O vectors in place to what is data. There is a status byte.
ParsedRequest parse_request(ChainBuffers& buffers);

// How a request ends that is not carried out.
struct BlkRefusal {
  uint8_t status;
  GuestRule rule;
  uint64_t detail;
};

// IN and OUT: may the data be transferred?
std::optional<BlkRefusal> check_transfer(const BlkLimits& limits, const ParsedRequest& request);

// DISCARD and WRITE_ZEROES: copies the list into `segments` and checks every one of them. On success
// `count` of them are good.
std::optional<BlkRefusal> read_segments(const BlkLimits& limits, const ParsedRequest& request,
                                        std::span<VirtioBlkDiscardWriteZeroes> segments, size_t& count);

// Copies to I/O vectors of guest memory; returns the bytes copied: what fits.
size_t copy_to_buffers(std::span<const iovec> buffers, const void* from, size_t length);

}  // namespace acrn
