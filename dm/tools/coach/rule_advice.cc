#include "dm/tools/coach/rule_advice.h"

namespace acrn {
namespace {

// In the order of GuestRule.
constexpr std::array<RuleAdvice, kGuestRules> kAdvice{{
    {"A register is accessed by a structure or a loop of other accesses than the register's own width.",
     "Use one in or out of the width that the specification gives: 4 bytes for features and QUEUE_PFN, 2 for "
     "QUEUE_SELECT, QUEUE_NOTIFY and vectors, 1 for status and ISR."},
    {"A register block of a modern device is assumed, or an offset is wrong by a field.",
     "Compare the offsets with the table of the legacy header; the ring's size is given, not chosen."},
    {"The driver writes back all the bits that it knows, instead of those that it was offered.",
     "Write HOST_FEATURES & the bits that the driver knows to GUEST_FEATURES."},
    {"Features are written after the status DRIVER_OK.",
     "The order is reset, ACKNOWLEDGE, DRIVER, features, queues, DRIVER_OK."},
    {"A queue number of another device, or a counter that runs on.",
     "A virtio-blk device without MQ has queue 0 alone; with MQ the configuration says how many."},
    {"The address is virtual, or not shifted: QUEUE_PFN is the physical address divided by 4096.",
     "Take the physical address of memory that is contiguous, zeroed and aligned to 4096, and write it >> 12. Under a "
     "VMM that serves this device from outside, the guest's memory is shared (QEMU: share=on)."},
    {"A vector is numbered as the interrupt line is, instead of as an entry of the MSI-X table.",
     "Write the index of the table's entry, and read it back: 0xffff says that it was not taken."},
    {"The driver writes the configuration of a device as if it were the driver's to set.",
     "Read it only; `writeback` is the one field that may be written, once CONFIG_WCE was accepted."},
    {"`writeback` is written without CONFIG_WCE.", "Accept VIRTIO_BLK_F_CONFIG_WCE first, if it is offered."},
    {"The kick comes before the ring's address, or after a reset that has forgotten it.",
     "Set QUEUE_SELECT and QUEUE_PFN again after each reset, and kick after that."},
    {"The ring is written at another address than the device was told, or not written back from a cache; or the VMM "
     "grants memory that is not its guest's.",
     "Compare the address of the ring's first descriptor with QUEUE_PFN << 12. With QEMU over vfio-user or vhost-user "
     "give share=on for each memory backend."},
    {"avail.idx is set to a ring index, decremented, or counted twice; or it was not zeroed.",
     "avail.idx counts all chains that were ever made available, modulo 65536, and goes on over the ring's end."},
    {"avail.ring[] is filled with addresses or with counts, or the entry is written at the wrong place.",
     "Write the number of the chain's first descriptor to avail.ring[idx % size], then a barrier, then avail.idx."},
    {"A descriptor is used again before its chain has come back in the used ring, often because the free list is "
     "advanced by one for a chain of three.",
     "Free all descriptors of a chain when its used entry was read, not before."},
    {"`next` is followed without NEXT being meant, or the table's end is passed.",
     "The last descriptor of a chain has no NEXT; `next` is an index below the ring's size."},
    {"A chain refers to a descriptor that it has passed, or one that belongs to another chain.",
     "Draw the chain (vblk trace chain): each descriptor once, the last without NEXT."},
    {"INDIRECT is set though the feature was not accepted.",
     "Accept VIRTIO_RING_F_INDIRECT_DESC, or put the chain into the ring itself."},
    {"A table is put into a table.", "One level: the entries of a table are buffers."},
    {"The descriptor that refers to the table goes on with NEXT.",
     "The chain ends with its table: no NEXT beside "
     "INDIRECT."},
    {"WRITE is copied from a buffer's flags to the table's.", "The device reads a table: INDIRECT alone."},
    {"The length is a count of descriptors, or of another table.",
     "The length of the table is 16 times the number of its descriptors, and no longer than the ring."},
    {"The table's address is virtual, or its memory is already freed.",
     "Give the physical address, and keep the table until the used entry has come."},
    {"The address is virtual, 0, or ends outside of RAM, often of a buffer on a stack or in a module.",
     "Give the physical address of memory that is contiguous for the whole length, or one descriptor for each piece."},
    {"A length is negative, or a pointer was written where the length belongs.",
     "Look at the chain: the lengths of all descriptors sum to 4 GiB at most."},
    {"The status byte, or the data of a read, comes before what the device reads.",
     "First all that the device reads (the header, the data of a write), then all that it writes."},
    {"The first descriptor is shorter than 16 bytes, has WRITE, or is not the head: each descriptor was made available "
     "as a request of its own.",
     "Make available the head alone; its first 16 readable bytes are type, ioprio and sector."},
    {"The last descriptor lacks WRITE, or the chain ends before it.",
     "End each chain with a writable byte; the device's answer goes there."},
    {"The driver reads or writes a slot that has no disk yet.",
     "Wait for a capacity that is not 0: it comes with an interrupt of the configuration."},
    {"The data's descriptors of a read lack WRITE, or those of a write have it.",
     "WRITE says that the device writes: set it for reads (IN), not for writes (OUT)."},
    {"The length is that of a structure, or the status byte is counted as data.",
     "Data is a multiple of 512 bytes, whatever the disk's block size is."},
    {"The sector is counted in blocks or bytes, or the capacity is taken for bytes.",
     "Sectors are of 512 bytes, in requests as in the capacity; sector + length / 512 is at most the capacity."},
    {"The driver has not looked at VIRTIO_BLK_F_RO.", "If RO is offered, tell the system that the disk is read-only."},
    {"The type is not written little endian, or the header was not filled.",
     "0 reads, 1 writes, 4 flushes, 8 asks for the ID, 11 discards, 13 writes zeroes."},
    {"The type is sent without its feature.", "Accept VIRTIO_BLK_F_DISCARD or WRITE_ZEROES before sending these."},
    {"The segments' number or size is wrong; each has 16 bytes.",
     "Send 1 to max_discard_seg segments {sector u64, sectors u32, flags u32} and nothing behind them."},
    {"A segment is as long as the file that is deleted.", "Split it at max_discard_sectors."},
    {"Bits of flags are set that are reserved.", "0, or 1 (unmap) in WRITE_ZEROES."},
    {"The VMM grants memory without a descriptor, or not for writing.",
     "QEMU: -object memory-backend-memfd,share=on for all of the guest's memory."},
}};

}  // namespace

const RuleAdvice& advice_of(GuestRule rule) { return kAdvice[static_cast<size_t>(rule)]; }

}  // namespace acrn
