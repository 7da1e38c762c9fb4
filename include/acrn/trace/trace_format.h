// The trace of a disk as bytes, in a file and in memory, little endian (docs/trace.md): a TraceFileHeader, and then
// chunks, each a TraceChunk and the records of one source: a queue, or the device itself. A record is a TraceRecord
// and what its event adds to it. Only an incomplete last chunk may be cut off. Times are nanoseconds of the host's
// CLOCK_MONOTONIC.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "acrn/base/bytes.h"

namespace acrn {

inline constexpr std::array<char, 8> kTraceMagic{'A', 'C', 'R', 'N', 'T', 'R', 'C', '\0'};
inline constexpr uint32_t kTraceVersion = 1;
inline constexpr size_t kTraceAlignment = 16;     // bytes; the size of each record is a multiple
inline constexpr uint16_t kTraceDevice = 0xffff;  // the source that is no queue

struct TraceFileHeader {
  std::array<char, 8> magic;
  Le32 version;
  Le32 header_bytes;  // where the first chunk begins
  Le64 started;       // when the file was begun,
  Le64 started_wall;  // and when that was: nanoseconds since 1970, UTC
  Le64 capacity;      // 512-byte sectors, then
  Le32 queues;
  Le32 logical_block;          // bytes
  std::array<char, 64> name;   // of the slot, like "0:9:0"
  std::array<char, 128> disk;  // what it serves, as the user wrote it; both padded with zeroes, perhaps cut off
  Le64 features;               // offered
  Le32 queue_size;             // ring entries, the most
  Le32 physical_block;         // bytes
};
static_assert(sizeof(TraceFileHeader) == 256);

struct TraceChunk {
  static constexpr uint32_t kMark = 0x4b4e4843;  // "CHNK"
  Le32 mark;
  Le16 source;  // the number of a queue, or kTraceDevice
  Le16 reserved;
  Le32 bytes;  // of the records that follow
  Le32 reserved2;
};
static_assert(sizeof(TraceChunk) == kTraceAlignment);

enum class TraceEvent : uint8_t {
  kPadding,  // nothing; skip it
  kLost,     // what was to stand here found no room: TraceValue, how many records
  // Of a queue.
  kTurn,        // the device looks at the ring. detail: TraceCause; head: how many chains
                // wait; number: the index of the next one
  kChain,       // a chain was taken: TraceChain, and then `number` descriptors
  kGuestError,  // detail: which GuestRule; head: the chain, or 0xffff; TraceName
  kSubmit,      // detail: BlockOp, with kTraceStable; head; number: which segment of a list; TraceExtent
  kFailed,      // the host could not: detail: BlockOp; head; number: errno
  kUsed,        // a used entry was written. detail: the status byte; head; TraceValue, its length; its time is that of
                // the next kPublish
  kPublish,     // used.idx was moved. head: its value. The used entries before it were seen from now on
  kInterrupt,   // detail: 1: sent; 0: the driver did not want it; head: used.idx
  kHeld,        // the request waits until it is tried again. head
  // Of the device.
  kFeatures,    // the driver accepts: TraceValue
  kQueueStart,  // head: the queue; number: entries; detail: 0, or 1 if its ring is not in guest RAM; TraceQueue
  kQueueStop,   // head: the queue; number: the index of its next chain
  kReset,
  kConfigWrite,  // number: the first byte; TraceValue
  kSuspend,      // the queues rest, until
  kResume,
};
inline constexpr size_t kTraceEvents = static_cast<size_t>(TraceEvent::kResume) + 1;
inline constexpr std::array<std::string_view, kTraceEvents> kTraceEventNames{
    "padding",   "lost", "turn",     "chain",       "error",      "submit", "failed", "used",    "publish",
    "interrupt", "held", "features", "queue_start", "queue_stop", "reset",  "config", "suspend", "resume"};

// Why a device looks at a ring.
enum class TraceCause : uint8_t { kKick, kKickInline, kPoll, kTimer, kLeftover, kStart };
inline constexpr std::array<std::string_view, 6> kTraceCauseNames{"kick",  "kick, on the thread that kicks", "poll",
                                                                  "timer", "rest of the last kick",          "start"};

inline constexpr uint8_t kTraceStable = 0x80;  // of kSubmit: done when it is on stable storage

struct TraceRecord {
  Le16 bytes;  // with this
  uint8_t event;
  uint8_t detail;
  Le16 head;  // of a chain, unless the event says otherwise
  Le16 number;
  Le64 time;
};
static_assert(sizeof(TraceRecord) == kTraceAlignment);

struct TraceValue {
  Le64 value;
  Le64 reserved;
};
struct TraceExtent {
  Le64 offset, length;  // bytes
};
struct TraceName {
  Le64 value;                 // what was seen, by the rule
  std::array<char, 24> name;  // of the rule, which keeps its name when its number changes
};
struct TraceQueue {
  Le64 desc, avail, used;  // addresses
  Le64 next_avail;
};
struct TraceChain {
  static constexpr uint8_t kHasHeader = 1, kRefused = 2, kRetried = 4;  // in `detail`
  Le64 waiting_since;                                                   // in the ring, as far as the device knows
  Le16 avail_index;  // its entry of the available ring is that, modulo the ring's size
  Le16 reserved;
  Le32 type;  // of the header, with kHasHeader
  Le64 sector;
  Le64 reserved2;
};
static_assert(sizeof(TraceValue) % kTraceAlignment == 0 && sizeof(TraceExtent) % kTraceAlignment == 0 &&
              sizeof(TraceName) % kTraceAlignment == 0 && sizeof(TraceQueue) % kTraceAlignment == 0 &&
              sizeof(TraceChain) % kTraceAlignment == 0);

}  // namespace acrn
