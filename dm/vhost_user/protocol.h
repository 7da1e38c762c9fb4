// What goes over a vhost-user socket (QEMU's docs/interop/vhost-user.rst). Both ends are on one host, so integers are
// the host's; offsets are those of packed structures.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace acrn::vhost_user {

enum Request : uint32_t {
  GET_FEATURES = 1,
  SET_FEATURES = 2,
  SET_OWNER = 3,
  RESET_OWNER = 4,
  SET_MEM_TABLE = 5,
  SET_VRING_NUM = 8,
  SET_VRING_ADDR = 9,
  SET_VRING_BASE = 10,
  GET_VRING_BASE = 11,
  SET_VRING_KICK = 12,
  SET_VRING_CALL = 13,
  SET_VRING_ERR = 14,
  GET_PROTOCOL_FEATURES = 15,
  SET_PROTOCOL_FEATURES = 16,
  GET_QUEUE_NUM = 17,
  SET_VRING_ENABLE = 18,
  SET_BACKEND_REQ_FD = 21,
  GET_CONFIG = 24,
  SET_CONFIG = 25,
  GET_INFLIGHT_FD = 31,
  SET_INFLIGHT_FD = 32,
  RESET_DEVICE = 34,
  GET_MAX_MEM_SLOTS = 36,
  ADD_MEM_REG = 37,
  REM_MEM_REG = 38,
};

// To the front end, over the socket of SET_BACKEND_REQ_FD.
enum BackendRequest : uint32_t { BACKEND_CONFIG_CHANGE_MSG = 2 };

constexpr uint64_t bit(unsigned number) { return uint64_t{1} << number; }

constexpr uint64_t kVersion1 = bit(32);          // VIRTIO_F_VERSION_1
constexpr uint64_t kProtocolFeatures = bit(30);  // VHOST_USER_F_PROTOCOL_FEATURES, among the virtio features

// VHOST_USER_PROTOCOL_F_*
constexpr uint64_t kMq = bit(0), kReplyAck = bit(3), kBackendReq = bit(5), kConfig = bit(9), kInflightShmfd = bit(12),
                   kResetDevice = bit(13), kConfigureMemSlots = bit(15);
constexpr uint64_t kOfferedProtocolFeatures =
    kMq | kReplyAck | kBackendReq | kConfig | kInflightShmfd | kResetDevice | kConfigureMemSlots;

struct Header {
  uint32_t request, flags, size;  // size: bytes of the payload
};
static_assert(sizeof(Header) == 12);

constexpr uint32_t kVersionMask = 3, kVersion = 1, kFlagReply = 4, kFlagNeedReply = 8;

struct VringState {
  uint32_t index, value;
};

// Addresses of the front end's process.
struct VringAddress {
  uint32_t index, flags;
  uint64_t desc, used, avail, log;
};

// Of SET_VRING_KICK, _CALL and _ERR.
constexpr uint64_t kVringIndexMask = 0xff, kNoDescriptor = 0x100;

struct MemoryRegionDescription {
  uint64_t guest, size, user, offset;  // user: in the front end's process; offset: in the descriptor's file
};

struct MemoryTableHead {
  uint32_t count, padding;
};

struct SingleRegion {
  uint64_t padding;
  MemoryRegionDescription region;
};

struct ConfigHead {
  uint32_t offset, size, flags;
};
constexpr uint32_t kConfigMigration = 1;  // of flags
constexpr size_t kMaxConfig = 256;        // bytes

struct InflightDescription {
  uint64_t size, offset;  // of the area, in the descriptor's file
  uint16_t queues, queue_size;
  std::array<uint8_t, 4> padding;  // which some front ends do not send
};
constexpr size_t kInflightBytes = 20;  // without it

constexpr size_t kMaxPayload = 4096;     // bytes
constexpr size_t kMaxDescriptors = 8;    // with one message
constexpr size_t kMaxTableRegions = 8;   // of SET_MEM_TABLE
constexpr size_t kMaxMemorySlots = 509;  // as many as Linux' vhost has

}  // namespace acrn::vhost_user
