// Constants and wire structures of virtio 0.9.5 (legacy) and, for the block features beyond it, virtio 1.2,
// in the specification's own spelling. The only home of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "acrn/base/bytes.h"

namespace acrn {

// Identity (0.9.5 2.1)
inline constexpr uint16_t VIRTIO_PCI_VENDOR_ID = 0x1af4;
inline constexpr uint16_t VIRTIO_PCI_LEGACY_DEVICE_ID_BASE = 0x1000;
inline constexpr uint16_t VIRTIO_ID_BLOCK = 2;

// Legacy header in BAR0 (0.9.5 2.2.2)
inline constexpr unsigned VIRTIO_PCI_HOST_FEATURES = 0x00;
inline constexpr unsigned VIRTIO_PCI_GUEST_FEATURES = 0x04;
inline constexpr unsigned VIRTIO_PCI_QUEUE_PFN = 0x08;
inline constexpr unsigned VIRTIO_PCI_QUEUE_NUM = 0x0c;
inline constexpr unsigned VIRTIO_PCI_QUEUE_SEL = 0x0e;
inline constexpr unsigned VIRTIO_PCI_QUEUE_NOTIFY = 0x10;
inline constexpr unsigned VIRTIO_PCI_STATUS = 0x12;
inline constexpr unsigned VIRTIO_PCI_ISR = 0x13;
inline constexpr unsigned VIRTIO_MSI_CONFIG_VECTOR = 0x14;  // while MSI-X is enabled
inline constexpr unsigned VIRTIO_MSI_QUEUE_VECTOR = 0x16;
inline constexpr unsigned VIRTIO_PCI_CONFIG_OFF_NO_MSIX = 0x14;
inline constexpr unsigned VIRTIO_PCI_CONFIG_OFF_MSIX = 0x18;
inline constexpr unsigned VIRTIO_PCI_QUEUE_ADDR_SHIFT = 12;
inline constexpr unsigned VIRTIO_PCI_VRING_ALIGN = 4096;
inline constexpr uint16_t VIRTIO_MSI_NO_VECTOR = 0xffff;
inline constexpr uint8_t VIRTIO_PCI_ISR_QUEUE = 1;
inline constexpr uint8_t VIRTIO_PCI_ISR_CONFIG = 2;

// Device status (0.9.5 2.2.2.1)
inline constexpr uint8_t VIRTIO_CONFIG_S_ACKNOWLEDGE = 1;
inline constexpr uint8_t VIRTIO_CONFIG_S_DRIVER = 2;
inline constexpr uint8_t VIRTIO_CONFIG_S_DRIVER_OK = 4;

// Feature bit numbers
inline constexpr unsigned VIRTIO_BLK_F_SIZE_MAX = 1;
inline constexpr unsigned VIRTIO_BLK_F_SEG_MAX = 2;
inline constexpr unsigned VIRTIO_BLK_F_RO = 5;
inline constexpr unsigned VIRTIO_BLK_F_BLK_SIZE = 6;
inline constexpr unsigned VIRTIO_BLK_F_FLUSH = 9;
inline constexpr unsigned VIRTIO_BLK_F_TOPOLOGY = 10;
inline constexpr unsigned VIRTIO_BLK_F_CONFIG_WCE = 11;
inline constexpr unsigned VIRTIO_BLK_F_MQ = 12;
inline constexpr unsigned VIRTIO_BLK_F_DISCARD = 13;
inline constexpr unsigned VIRTIO_BLK_F_WRITE_ZEROES = 14;
inline constexpr unsigned VIRTIO_F_ANY_LAYOUT = 27;
inline constexpr unsigned VIRTIO_RING_F_INDIRECT_DESC = 28;
inline constexpr unsigned VIRTIO_RING_F_EVENT_IDX = 29;

constexpr uint64_t feature(unsigned bit) { return uint64_t{1} << bit; }

struct FeatureName {
  unsigned bit;
  const char* name;
};
inline constexpr FeatureName kBlkFeatureNames[] = {
    {VIRTIO_BLK_F_SEG_MAX, "SEG_MAX"},
    {VIRTIO_BLK_F_RO, "RO"},
    {VIRTIO_BLK_F_BLK_SIZE, "BLK_SIZE"},
    {VIRTIO_BLK_F_FLUSH, "FLUSH"},
    {VIRTIO_BLK_F_TOPOLOGY, "TOPOLOGY"},
    {VIRTIO_BLK_F_CONFIG_WCE, "CONFIG_WCE"},
    {VIRTIO_BLK_F_MQ, "MQ"},
    {VIRTIO_BLK_F_DISCARD, "DISCARD"},
    {VIRTIO_BLK_F_WRITE_ZEROES, "WRITE_ZEROES"},
    {VIRTIO_F_ANY_LAYOUT, "ANY_LAYOUT"},
    {VIRTIO_RING_F_INDIRECT_DESC, "INDIRECT_DESC"},
    {VIRTIO_RING_F_EVENT_IDX, "EVENT_IDX"},
};

// The names of the bits that are set, in the order of the bits.
inline std::vector<std::string> blk_feature_names(uint64_t features) {
  std::vector<std::string> names;
  for (const auto& [bit, name] : kBlkFeatureNames) {
    if ((features & feature(bit)) != 0) names.emplace_back(name);
  }
  return names;
}

// Split virtqueue (0.9.5 2.3)
inline constexpr uint16_t VRING_DESC_F_NEXT = 1;
inline constexpr uint16_t VRING_DESC_F_WRITE = 2;
inline constexpr uint16_t VRING_DESC_F_INDIRECT = 4;
inline constexpr uint16_t VRING_AVAIL_F_NO_INTERRUPT = 1;
inline constexpr uint16_t VRING_USED_F_NO_NOTIFY = 1;

struct VringDesc {
  Le64 addr;
  Le32 len;
  Le16 flags;
  Le16 next;
};
static_assert(sizeof(VringDesc) == 16);

struct VringUsedElem {
  Le32 id;
  Le32 len;
};
static_assert(sizeof(VringUsedElem) == 8);

// virtio-blk requests (0.9.5 appendix D; 1.2 5.2.6)
inline constexpr unsigned VIRTIO_BLK_SECTOR_SHIFT = 9;
inline constexpr unsigned VIRTIO_BLK_SECTOR_SIZE = 512;
inline constexpr unsigned VIRTIO_BLK_ID_BYTES = 20;

inline constexpr uint32_t VIRTIO_BLK_T_IN = 0;
inline constexpr uint32_t VIRTIO_BLK_T_OUT = 1;
inline constexpr uint32_t VIRTIO_BLK_T_FLUSH = 4;
inline constexpr uint32_t VIRTIO_BLK_T_FLUSH_OUT = 5;
inline constexpr uint32_t VIRTIO_BLK_T_GET_ID = 8;
inline constexpr uint32_t VIRTIO_BLK_T_DISCARD = 11;
inline constexpr uint32_t VIRTIO_BLK_T_WRITE_ZEROES = 13;

inline constexpr uint8_t VIRTIO_BLK_S_OK = 0;
inline constexpr uint8_t VIRTIO_BLK_S_IOERR = 1;
inline constexpr uint8_t VIRTIO_BLK_S_UNSUPP = 2;

inline constexpr uint32_t VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;

struct VirtioBlkOuthdr {
  Le32 type;
  Le32 ioprio;
  Le64 sector;
};
static_assert(sizeof(VirtioBlkOuthdr) == 16);

struct VirtioBlkDiscardWriteZeroes {
  Le64 sector;
  Le32 num_sectors;
  Le32 flags;
};
static_assert(sizeof(VirtioBlkDiscardWriteZeroes) == 16);

// Configuration space (1.2 5.2.4). Naturally aligned by construction.
struct VirtioBlkConfig {
  Le64 capacity;
  Le32 size_max;
  Le32 seg_max;
  Le16 cylinders;
  uint8_t heads;
  uint8_t sectors;
  Le32 blk_size;
  uint8_t physical_block_exp;
  uint8_t alignment_offset;
  Le16 min_io_size;
  Le32 opt_io_size;
  uint8_t writeback;
  uint8_t unused0;
  Le16 num_queues;
  Le32 max_discard_sectors;
  Le32 max_discard_seg;
  Le32 discard_sector_alignment;
  Le32 max_write_zeroes_sectors;
  Le32 max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
  uint8_t padding[4];  // the structure's 8-byte alignment, not part of the specification's 60 bytes
};
inline constexpr unsigned VIRTIO_BLK_CONFIG_SIZE = 60;
static_assert(sizeof(VirtioBlkConfig) == 64);
static_assert(__builtin_offsetof(VirtioBlkConfig, writeback) == 32);
static_assert(__builtin_offsetof(VirtioBlkConfig, max_discard_sectors) == 36);
static_assert(__builtin_offsetof(VirtioBlkConfig, write_zeroes_may_unmap) == 56);

}  // namespace acrn
