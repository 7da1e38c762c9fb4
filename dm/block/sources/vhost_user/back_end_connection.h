// BackEndConnection: one connection to a vhost-user-blk back end, from its first message to its end: the socket, the
// memory that the back end sees, and its queues. The memory is ours and new for each connection, so a back end that was
// given up cannot reach into the next one; it holds rings, headers and copies of data, and nothing that we trust.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "acrn/base/address.h"
#include "acrn/base/mutex.h"
#include "acrn/base/result.h"
#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"
#include "dm/block/sources/vhost_user/back_end_facts.h"
#include "dm/driver/driver_ring.h"
#include "dm/event/event_trigger.h"
#include "dm/mem/guest_ram.h"
#include "dm/vhost_user/back_end_socket.h"

namespace acrn {

// For a back end to answer, while something waits for it.
inline constexpr std::chrono::seconds kBackEndPatience{10};

// One of its queues, with memory for kCommands requests. Used by one loop at a time.
struct BackEndRing {
  static constexpr uint16_t kEntries = 256, kCommands = 64, kLeastEntries = 3;  // of a command's descriptors
  static constexpr uint32_t kHeadBytes = 64;         // of a command: header, segment and status
  static constexpr uint32_t kDataBytes = 256 << 10;  // of a command
  // Offsets from the ring's first byte, and its size.
  static constexpr uint32_t kHeads = 16 << 10, kData = kHeads + kCommands * kHeadBytes,
                            kBytes = kData + kCommands * kDataBytes;
  static_assert(ring_layout(kEntries).total_bytes <= kHeads && kCommands * kLeastEntries <= kEntries &&
                kData % 4096 == 0);

  Gpa base;
  GuestSlice memory;
  DriverRing ring;
  std::unique_ptr<EventTrigger> kick;
  UniqueFd call;  // an eventfd
};

// What a back end's rings call an address of the guest is the one that we have for it, whosever memory it is.
inline Gpa seen_at(const std::byte* bytes) { return Gpa{address_of(bytes)}; }

class BackEndConnection {
 public:
  // Connects and looks what there is. Waits, or until the descriptor `cancel` is readable (-1: none). Errors, with the
  // path: as of BackEndSocket::connect() and ask_for_facts().
  static Result<std::unique_ptr<BackEndConnection>> open(const std::string& path,
                                                         std::chrono::seconds patience = kBackEndPatience,
                                                         int cancel = -1);
  const BackEndFacts& facts() const { return facts_; }

  // Gives it the memory, and starts the first `rings` of its queues. Errors: kIo, kNoInput; kInternal.
  Result<void> start(unsigned rings);
  BackEndRing& ring(unsigned index) { return *rings_[index]; }
  // It sees `guest` from now on, as much as it has room for and may be given: the largest regions. Waits. No ring has a
  // command that points there. Errors: as of start().
  Result<void> share(const std::shared_ptr<const MemoryMap>& guest);
  // Whether it sees all of those bytes.
  bool sees(const std::byte* bytes, size_t size) const {
    return std::any_of(shared_.begin(), shared_.end(), [&](const MemoryRegion& region) {
      const uint64_t offset = address_of(bytes) - address_of(region.host);
      return offset < region.size && size <= region.size - offset;
    });
  }

  // The rest by any thread. Asks for the size, and waits for that.
  Result<uint64_t> size();
  int socket() const { return socket_fd_; }  // hangs up when the back end has gone, and after hang_up()
  // One that sees the guest's memory goes when it has let go of that: what it was asked for may still go there.
  void hang_up();
  // The same in good order: waits, but not for long, until the back end has let go of the disk.
  void leave();

  // A ring had a request; the back end has answered one.
  void note_request() { asked_.store(true, std::memory_order_relaxed); }
  void note_answer() { answered_.store(true, std::memory_order_relaxed); }
  bool was_of_use() const {
    return answered_.load(std::memory_order_relaxed) || !asked_.load(std::memory_order_relaxed);
  }

 private:
  BackEndConnection(std::string path, std::chrono::seconds patience, BackEndSocket socket)
      : path_(std::move(path)), patience_(patience), socket_fd_(socket.fd()), socket_(std::move(socket)) {}
  void limit_time() ACRN_REQUIRES(mutex_) { socket_.set_end(BackEndSocket::Clock::now() + patience_); }
  Result<void> start_ring(unsigned index, uint64_t offset) ACRN_REQUIRES(mutex_);
  Result<void> tell_of_memory() ACRN_REQUIRES(mutex_);

  const std::string path_;
  const std::chrono::seconds patience_;
  const int socket_fd_;
  BackEndFacts facts_;
  MemoryRegion memory_{};             // ours
  std::vector<MemoryRegion> shared_;  // of the guest's
  std::atomic<bool> shares_{false};   // or has shared
  std::vector<std::unique_ptr<BackEndRing>> rings_;
  std::atomic<bool> asked_{false}, answered_{false};
  Mutex mutex_;  // leaf; held across a message and its answer
  BackEndSocket socket_ ACRN_GUARDED_BY(mutex_);
};

}  // namespace acrn
