#include "hw/pci/virtio/blk_request.h"

#include <algorithm>

#include "acrn/block/iovec_cursor.h"

namespace acrn {
namespace {

// Copies what the cursor moves over.
void copy_from_buffers(IoVecCursor& buffers, void* to, size_t length) {
  buffers.for_each_piece(length, [to = static_cast<std::byte*>(to)](std::byte* from, size_t bytes) mutable {
    copy_from_shared(to, from, bytes);
    to += bytes;
  });
}

// Shrinks the buffers to what is behind the cursor, which stands in them.
std::span<iovec> rest_of(std::span<iovec> buffers, const IoVecCursor& cursor) {
  buffers = buffers.last(cursor.vectors_left());
  if (!buffers.empty()) buffers.front() = cursor.front();
  return buffers;
}

// Drops the last byte; the buffers hold at least one.
std::span<iovec> drop_last_byte(std::span<iovec> buffers) {
  iovec& buffer = buffers.back();
  return --buffer.iov_len == 0 ? buffers.first(buffers.size() - 1) : buffers;
}

bool inside_capacity(const BlkLimits& limits, uint64_t sector, uint64_t sectors) {
  return sector <= limits.capacity && sectors <= limits.capacity - sector;
}

}  // namespace

size_t copy_to_buffers(std::span<const iovec> buffers, const void* from, size_t length) {
  const auto* next = static_cast<const std::byte*>(from);
  return IoVecCursor(buffers).for_each_piece(length, [&](std::byte* to, size_t bytes) {
    copy_to_shared(to, next, bytes);
    next += bytes;
  });
}

DiskRequestKind kind_of(uint32_t type) {
  switch (type) {
    case VIRTIO_BLK_T_IN: return DiskRequestKind::kRead;
    case VIRTIO_BLK_T_OUT: return DiskRequestKind::kWrite;
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_FLUSH_OUT: return DiskRequestKind::kFlush;
    case VIRTIO_BLK_T_GET_ID: return DiskRequestKind::kGetId;
    case VIRTIO_BLK_T_DISCARD: return DiskRequestKind::kDiscard;
    case VIRTIO_BLK_T_WRITE_ZEROES: return DiskRequestKind::kWriteZeroes;
    default: return DiskRequestKind::kOther;
  }
}

ParsedRequest parse_request(ChainBuffers& buffers) {
  ParsedRequest request;
  request.in = drop_last_byte(buffers.writable_part());
  request.in_bytes = buffers.writable_bytes - 1;
  if (buffers.readable_bytes < sizeof(VirtioBlkOuthdr)) {
    request.broken = GuestRule::kHeaderTooShort;
    return request;
  }
  IoVecCursor cursor(buffers.readable_part());
  copy_from_buffers(cursor, &request.header, sizeof(VirtioBlkOuthdr));
  request.out = rest_of(buffers.readable_part(), cursor);
  request.out_bytes = buffers.readable_bytes - sizeof(VirtioBlkOuthdr);
  return request;
}

std::optional<BlkRefusal> check_transfer(const BlkLimits& limits, const ParsedRequest& request) {
  const uint64_t sector = request.header.sector, bytes = request.data_bytes();
  if (request.writes() && limits.read_only) {
    return BlkRefusal{VIRTIO_BLK_S_IOERR, GuestRule::kWriteToReadOnly, sector};
  }
  // Nothing to move the right way, and something the other way: to say OK would be to lose it.
  if (bytes == 0 && request.out_bytes + request.in_bytes != 0) {
    return BlkRefusal{VIRTIO_BLK_S_IOERR, GuestRule::kDataDirection, request.header.type};
  }
  if (bytes % VIRTIO_BLK_SECTOR_SIZE != 0) {
    return BlkRefusal{VIRTIO_BLK_S_IOERR, GuestRule::kDataNotSectors, bytes};
  }
  if (!inside_capacity(limits, sector, bytes >> VIRTIO_BLK_SECTOR_SHIFT)) {
    return BlkRefusal{VIRTIO_BLK_S_IOERR, GuestRule::kSectorPastEnd, sector};
  }
  return std::nullopt;
}

std::optional<BlkRefusal> read_segments(const BlkLimits& limits, const ParsedRequest& request,
                                        std::span<VirtioBlkDiscardWriteZeroes> segments, size_t& count) {
  const bool zeroes = request.header.type == VIRTIO_BLK_T_WRITE_ZEROES;
  const auto refuse = [](uint8_t status, GuestRule rule, uint64_t detail) { return BlkRefusal{status, rule, detail}; };
  if (limits.read_only) return refuse(VIRTIO_BLK_S_IOERR, GuestRule::kWriteToReadOnly, request.header.type);
  if ((limits.accepted & feature(zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD)) == 0) {
    return refuse(VIRTIO_BLK_S_UNSUPP, GuestRule::kFeatureNotAccepted, request.header.type);
  }
  constexpr size_t kSegment = sizeof(VirtioBlkDiscardWriteZeroes);
  const uint64_t allowed = std::min<uint64_t>(limits.max_discard_segments, segments.size());
  if (request.out_bytes == 0 || request.out_bytes % kSegment != 0 || request.out_bytes / kSegment > allowed) {
    return refuse(VIRTIO_BLK_S_IOERR, GuestRule::kSegmentList, request.out_bytes);
  }
  count = request.out_bytes / kSegment;
  IoVecCursor list(request.out);
  copy_from_buffers(list, segments.data(), count * kSegment);
  for (const auto& segment : segments.first(count)) {
    if ((segment.flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0)) != 0) {
      return refuse(VIRTIO_BLK_S_UNSUPP, GuestRule::kSegmentFlags, segment.flags);
    }
    if (segment.num_sectors > limits.max_discard_sectors) {
      return refuse(VIRTIO_BLK_S_IOERR, GuestRule::kSegmentTooLong, segment.num_sectors);
    }
    if (!inside_capacity(limits, segment.sector, segment.num_sectors)) {
      return refuse(VIRTIO_BLK_S_IOERR, GuestRule::kSectorPastEnd, segment.sector);
    }
  }
  return std::nullopt;
}

}  // namespace acrn
