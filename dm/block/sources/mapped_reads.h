// MappedReads: reads of what is in the page cache, by a mapping of the file, so that they cost a copy and no system
// call (docs/adr/0030). Only pages that are known to be in memory, since the host has said so or they have been read,
// are touched: any other would keep the caller waiting for the medium. That may be out of date: after a copy that had
// to wait nothing is known any more, and nothing is learned for a while. Any thread.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/base/round.h"
#include "dm/base/lap_timer.h"
#include "dm/mem/shared_mapping.h"

namespace acrn {

class MappedReads {
 public:
  static constexpr uint64_t kWindow = uint64_t{4} << 30;  // bytes: mapped together, when the first is read
  static constexpr uint64_t kMost = 256 * kWindow;        // bytes of a file; the rest is never mapped
  static constexpr uint64_t kSlowBytes = 64 << 10;
  static constexpr std::chrono::microseconds kSlow{50};  // for each kSlowBytes of a copy out of memory
  static constexpr std::chrono::milliseconds kShortestPause{1}, kLongestPause{1000};

  // Why a file is not to be mapped: what is true of it, for a message. Empty: it may be.
  // Its pages must not come when another process pleases, and the host has to tell this one which are in memory.
  static std::string unsuited(int fd, bool block_device);

  // Of the first `size` bytes; the caller keeps `fd` open. `holes_stay`: what has been read and was a hole has no page
  // (tmpfs).
  MappedReads(int fd, bool block_device, bool holes_stay, uint64_t size);

  // In kOrder the host reads ahead when it is told to by a page that is touched, which may have to wait for a place in
  // the medium's queue.
  enum class Access : uint8_t { kRandom, kOrder };
  // Copies [offset, offset + length) into the vectors, whose lengths sum to that. False: not done, and what the
  // vectors hold is of no meaning. `timer` was looked at a short time ago.
  bool read(std::span<const iovec> iov, uint64_t offset, uint64_t length, Access access, LapTimer& timer);
  // The same of what is not known: asks the host first.
  enum class Asked : uint8_t { kRead, kMissing, kUnknown };
  Asked ask_and_read(std::span<const iovec> iov, uint64_t offset, uint64_t length, Access access, LapTimer& timer);
  // A read is about to begin there.
  void prefetch(uint64_t offset, Access access) const;
  // These bytes have been read, and so may be in memory now.
  void note_read(uint64_t offset, uint64_t length);
  // What is in memory of the bytes [begin, end) is about to be taken away, or just was.
  void forget(uint64_t begin, uint64_t end);

 private:
  using Clock = std::chrono::steady_clock;

  static constexpr uint64_t kPagesPerWord = 64, kWordBytes = kPagesPerWord * kPageBytes;  // bytes
  // Linux maps so many pages at a time (fault-around), and is fast to tell of those.
  static constexpr uint64_t kAroundBytes = 64 << 10;

  // What is known of it are hints, each for itself, so all are relaxed; the window is published by its pointer.
  struct Window {
    std::array<std::unique_ptr<SharedMapping>, 2> mappings;  // by Access
    uint64_t size = 0;                                       // bytes that are mapped
    const SharedMapping& mapping(Access access) const { return *mappings[static_cast<size_t>(access)]; }
    bool holds(uint64_t offset, uint64_t length) const { return offset < size && length <= size - offset; }
    std::atomic<unsigned> epoch{0};                                 // of what is known
    std::array<std::atomic<uint64_t>, kWindow / kWordBytes> words;  // a bit for each page that is in memory
  };

  Window* find_window(uint64_t offset) const;
  Window* make_window(uint64_t index);
  bool still_holds(uint64_t end) const;
  bool knows(const Window& window, uint64_t offset, uint64_t length) const;
  template <class Body>
  static bool all_words(uint64_t begin, uint64_t end, Body body);
  Window* use_window(uint64_t offset, uint64_t length, Access access);
  bool copy(const Window& window, std::span<const iovec> iov, uint64_t offset, uint64_t length, Access access,
            LapTimer& timer);
  bool may_learn(Window& window) const;
  static std::optional<uint64_t> ask(const Window& window, uint64_t word, uint64_t pages, Access access);
  static bool all_in_memory(const Window& window, uint64_t offset, uint64_t length, Access access);
  static void learn(Window& window, uint64_t offset, uint64_t length, Access access);
  bool is_quiet(Clock::time_point now) const;
  void start_anew(Clock::time_point now);

  const int fd_;
  const bool block_device_, holes_stay_;
  const uint64_t size_;
  Mutex making_;  // before leaves: a window is made once
  std::vector<std::unique_ptr<Window>> made_ ACRN_GUARDED_BY(making_);
  std::vector<std::atomic<Window*>> windows_;
  // Hints, relaxed.
  std::atomic<unsigned> epoch_{0};          // what a window knows of another one is not known any more
  std::atomic<Clock::rep> quiet_until_{0};  // nothing is learned before
  std::atomic<Clock::rep> pause_{0};        // the last one's length
};

}  // namespace acrn
