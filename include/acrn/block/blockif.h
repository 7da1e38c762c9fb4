// The block seam. A BlockBackend is an opened disk; a BlockChannel is its asynchronous side for one event
// loop. Filters are backends over a backend. A backend sees host I/O vectors and byte offsets, never a guest
// address. Requests belong to the caller, who keeps them alive and untouched until they are done: no
// allocation and no copy between virtio-blk and the engine.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "acrn/base/result.h"
#include "acrn/event/event_loop.h"

namespace acrn {

class MemoryMap;

enum class BlockOp : uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

class BlockSink;

// One operation. Callers derive from it what else they want to find when it is done. `iov` is used by kRead and kWrite
// and its lengths sum to `length`. A channel may change `offset` and use the `engine_` fields while it owns the
// request, so callers set everything else each time.
struct BlockRequest {
  BlockOp op = BlockOp::kRead;
  bool stable = false;             // kWrite, kWriteZeroes: complete only when on stable storage
  bool may_unmap = false;          // kWriteZeroes: the range may be deallocated
  bool engine_will_block = false;  // kRead: it was not in the page cache a moment ago
  uint64_t offset = 0;             // bytes from the start of the disk
  uint64_t length = 0;             // bytes
  std::span<const iovec> iov;
  BlockSink* sink = nullptr;  // told when the request is done
  int error = 0;              // out: 0, or an errno; a transfer is complete or failed, never short

  BlockRequest* engine_next = nullptr;

  // Whether a disk of `size` bytes has all of it.
  bool is_inside(uint64_t size) const { return offset <= size && length <= size - offset; }
};

// Where a channel reports. Called on the channel's loop; request_done() possibly from inside submit(), and it may
// itself submit() more.
class BlockSink {
 public:
  virtual void request_done(BlockRequest& request) = 0;
  // A group of request_done() calls made outside submit() has ended: the moment to publish them.
  virtual void batch_done() = 0;

 protected:
  ~BlockSink() = default;
};

// One loop's way to the disk. All calls on that loop. More requests than an engine can hold wait inside it
// and are never lost. Destroyed on its loop, when nothing it was given is in flight.
class BlockChannel {
 public:
  virtual ~BlockChannel() = default;
  // Starts the requests, in any order relative to each other. Does not block.
  virtual void submit(std::span<BlockRequest* const> batch) = 0;
  // What has not been started, and would not be soon, is done with ECANCELED, inside this call as inside submit(). With
  // `may_start` what only waits for a limit is started instead, now or soon.
  virtual void cancel_waiting(bool /*may_start*/) {}
};

struct BlockInfo {
  uint64_t size = 0;                   // bytes, a multiple of 512
  uint32_t physical_block = 512;       // bytes, power of two: what the medium writes without read-modify-write
  uint32_t offset_alignment = 1;       // bytes, power of two: what offset and length of a request must be multiples of
  uint32_t memory_alignment = 1;       // bytes, power of two: the same for each I/O vector's base and length
  uint32_t discard_granularity = 512;  // bytes, power of two: what kDiscard frees is rounded inwards to it
  bool read_only = false;
  // What a channel does not complete at once is for its loop's own thread, which alone may start it (io_uring) or
  // sees it done while it polls (a ring in memory), so lending the loop saves nothing then.
  bool needs_own_thread = false;
};

// Any thread, except where a channel says otherwise. Outlives its channels.
class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  virtual BlockInfo info() const = 0;
  // `loop` is where requests complete; `depth` is how many requests the caller has at most.
  virtual Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) = 0;
  // Reads the size again, for a file that was grown under us; returns it in bytes.
  virtual Result<uint64_t> refresh_size() = 0;
  // `changed` is called, by a thread of the backend's, when the disk may have got another size by itself, which
  // refresh_size() reads. An empty one ends that, and returns when no call is running. Most disks never change so.
  virtual void on_new_size(const std::function<void()>& /*changed*/) {}
  // I/O vectors lie in `memory` from now on, or in memory of the caller's own. Called while no channel has a request
  // with data. For a disk whose server is given the guest's memory; most take no notice.
  virtual void use_memory(const std::shared_ptr<const MemoryMap>& /*memory*/) {}
};

}  // namespace acrn
