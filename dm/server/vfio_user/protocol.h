// The vfio-user protocol on the wire (QEMU's docs/interop/vfio-user.rst; the structures are those of linux/vfio.h).
// Every message is a Header and what follows it; a reply that carries an error is a Header alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "acrn/base/bytes.h"

namespace acrn::vfio_user {

enum Command : uint16_t {
  VFIO_USER_VERSION = 1,
  VFIO_USER_DMA_MAP = 2,
  VFIO_USER_DMA_UNMAP = 3,
  VFIO_USER_DEVICE_GET_INFO = 4,
  VFIO_USER_DEVICE_GET_REGION_INFO = 5,
  VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
  VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
  VFIO_USER_DEVICE_SET_IRQS = 8,
  VFIO_USER_REGION_READ = 9,
  VFIO_USER_REGION_WRITE = 10,
  VFIO_USER_DEVICE_RESET = 13,
};

struct Header {
  Le16 id, command;
  Le32 size;  // bytes, with the header
  Le32 flags;
  Le32 error;  // an errno, in a reply with kFlagError
};
static_assert(sizeof(Header) == 16);

inline constexpr uint32_t kTypeMask = 0xf, kTypeCommand = 0, kTypeReply = 1;
inline constexpr uint32_t kFlagNoReply = 0x10, kFlagError = 0x20;

struct Version {
  Le16 major, minor;  // JSON with a NUL may follow
};
static_assert(sizeof(Version) == 4);

struct DmaMap {
  Le32 argsz, flags;
  Le64 offset;   // in the descriptor that comes with the message
  Le64 address;  // guest-physical
  Le64 size;     // bytes
};
static_assert(sizeof(DmaMap) == 32);
inline constexpr uint32_t VFIO_DMA_MAP_FLAG_READ = 1, VFIO_DMA_MAP_FLAG_WRITE = 2;

struct DmaUnmap {
  Le32 argsz, flags;
  Le64 address, size;
};
static_assert(sizeof(DmaUnmap) == 24);
inline constexpr uint32_t VFIO_DMA_UNMAP_FLAG_ALL = 2;

struct DeviceInfo {
  Le32 argsz, flags, regions, irqs;
};
static_assert(sizeof(DeviceInfo) == 16);
inline constexpr uint32_t VFIO_DEVICE_FLAGS_RESET = 1, VFIO_DEVICE_FLAGS_PCI = 2;

struct RegionInfo {
  Le32 argsz, flags, index, cap_offset;
  Le64 size, offset;
};
static_assert(sizeof(RegionInfo) == 32);
inline constexpr uint32_t VFIO_REGION_INFO_FLAG_READ = 1, VFIO_REGION_INFO_FLAG_WRITE = 2;
// Regions 0 to 5 are the BARs.
inline constexpr uint32_t VFIO_PCI_CONFIG_REGION_INDEX = 7, VFIO_PCI_NUM_REGIONS = 9;

struct IrqInfo {
  Le32 argsz, flags, index, count;
};
static_assert(sizeof(IrqInfo) == 16);
inline constexpr uint32_t VFIO_IRQ_INFO_EVENTFD = 1, VFIO_IRQ_INFO_MASKABLE = 2, VFIO_IRQ_INFO_AUTOMASKED = 4,
                          VFIO_IRQ_INFO_NORESIZE = 8;
inline constexpr uint32_t VFIO_PCI_INTX_IRQ_INDEX = 0, VFIO_PCI_MSI_IRQ_INDEX = 1, VFIO_PCI_MSIX_IRQ_INDEX = 2,
                          VFIO_PCI_NUM_IRQS = 5;

struct IrqSet {
  Le32 argsz, flags, index, start, count;  // with VFIO_IRQ_SET_DATA_BOOL a byte for each follows
};
static_assert(sizeof(IrqSet) == 20);
inline constexpr uint32_t VFIO_IRQ_SET_DATA_NONE = 1, VFIO_IRQ_SET_DATA_BOOL = 2, VFIO_IRQ_SET_DATA_EVENTFD = 4,
                          VFIO_IRQ_SET_ACTION_MASK = 8, VFIO_IRQ_SET_ACTION_UNMASK = 16,
                          VFIO_IRQ_SET_ACTION_TRIGGER = 32;
inline constexpr uint32_t kIrqSetDataMask = 0x7, kIrqSetActionMask = 0x38;

struct RegionAccess {
  Le64 offset;
  Le32 region, count;  // `count` bytes follow in a write, and in the reply to a read
};
static_assert(sizeof(RegionAccess) == 16);

// What this server takes; the version reply tells the client where it offers room to.
inline constexpr size_t kMaxPayload = 4096;        // bytes behind the header
inline constexpr size_t kMaxDescriptors = 128;     // with one message: an eventfd for each vector there can be
inline constexpr size_t kOfferedDescriptors = 16;  // QEMU takes no larger number for an answer
inline constexpr size_t kMaxDmaMaps = 512;

}  // namespace acrn::vfio_user
