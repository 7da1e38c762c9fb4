// ControlEvent: something that has happened, for clients of the control socket that asked to be told
// (docs/control-socket.md). EventBuffer: those that the control socket's loop has not taken yet.
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "acrn/base/mutex.h"
#include "acrn/event/event_loop.h"

namespace acrn {

enum class ControlEventKind : uint8_t {
  kIoError,       // the disk failed a request
  kGuestError,    // the driver, or its VMM, broke a rule
  kQueueStopped,  // for that, until its driver resets it
  kHeld,          // the disk failed a request, which is held until it is tried again
  kOverdue,       // the disk has not carried out a request within its time limit
  kResized,       // a disk has another size
  kPaused,
  kResumed,
  kClient,  // of a disk that is served: one has come or left
};
inline constexpr std::array<std::string_view, 9> kControlEventNames{
    "io_error", "guest_error", "queue_stopped", "held", "overdue", "resized", "paused", "resumed", "client"};
using ControlEventSet = std::bitset<kControlEventNames.size()>;

struct ControlEvent {
  ControlEventKind kind;
  std::string_view slot = {};  // "0:9:0"; empty for an event of the machine. Its owner outlives the buffer
  std::string_view name = {};  // of the operation or the rule; whether a client was "connected" or has "left"
  uint64_t count = 0;          // so often since the start, this one included; of kHeld: how many the queue holds
  // An errno; what broke the rule; the queue; milliseconds; bytes; how many clients there are now.
  uint64_t value = 0;
  std::chrono::system_clock::time_point time = std::chrono::system_clock::now();
};

// As one line of JSON, with its newline.
std::string event_line(const ControlEvent& event);
// The same of `count` events that were lost since the last one that was told.
std::string lost_line(uint64_t count);

// Any thread. Nothing is allocated when one is added, and nobody waits: one that finds no room is counted and lost.
class EventBuffer {
 public:
  static constexpr size_t kCapacity = 1024;

  struct Taken {
    std::vector<ControlEvent> events;  // in the order in which they came
    uint64_t lost = 0;                 // that came after those
  };

  EventBuffer() { events_.reserve(kCapacity); }

  // Who is notified of events, and takes them; null: nobody, and none are kept.
  void set_reader(Notifier* reader) {
    MutexLock lock(mutex_);
    reader_ = reader;
    if (reader == nullptr) events_.clear(), lost_ = 0;
  }
  void add(const ControlEvent& event) {
    MutexLock lock(mutex_);
    if (reader_ == nullptr) return;
    if (events_.size() < kCapacity) {
      events_.push_back(event);
    } else {
      lost_++;
    }
    reader_->notify();
  }
  Taken take() {
    Taken taken;
    taken.events.reserve(kCapacity);  // which is what add() finds from now on
    MutexLock lock(mutex_);
    std::swap(taken.events, events_);
    std::swap(taken.lost, lost_);
    return taken;
  }

 private:
  Mutex mutex_;  // leaf; held across the doorbell
  Notifier* reader_ ACRN_GUARDED_BY(mutex_) = nullptr;
  std::vector<ControlEvent> events_ ACRN_GUARDED_BY(mutex_);
  uint64_t lost_ ACRN_GUARDED_BY(mutex_) = 0;
};

}  // namespace acrn
