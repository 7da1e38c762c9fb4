// A trace, read: its records in the order of their times, and the requests that they tell of (docs/trace.md). What
// stands in the file is checked, whoever wrote it. Pure, but for opening it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "acrn/base/result.h"
#include "acrn/trace/trace_format.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_spec.h"

namespace acrn {

// One record. `time` is the record's own, or that of when the driver could see it.
struct TraceItem {
  static constexpr uint32_t kNoRequest = ~uint32_t{0};

  uint64_t time = 0;
  const TraceRecord* record = nullptr;
  uint32_t request = kNoRequest;  // which it is of
  uint16_t source = 0;            // a queue, or kTraceDevice

  TraceEvent event() const { return static_cast<TraceEvent>(record->event); }
  // What the event adds to the record. `T` is what it says.
  template <class T>
  const T& body() const {
    // SAFETY: the file was checked to have it; it is made of bytes.
    return *reinterpret_cast<const T*>(record + 1);
  }
  // Of kChain.
  std::span<const VringDesc> descriptors() const;
};

// One chain, from the ring to the ring.
struct TracedRequest {
  static constexpr uint8_t kNoStatus = 0xff;

  uint64_t waiting_since = 0, taken = 0;
  uint64_t done = 0;   // 0: never, or not before the trace ends
  uint64_t lost = 0;   // when a reset or the end of its queue has ended it; 0: neither did
  uint64_t bytes = 0;  // asked of the disk
  uint64_t sector = 0;
  uint32_t type = 0;     // of the header
  uint32_t chain = 0;    // its kChain among the items
  uint32_t written = 0;  // the used length
  uint16_t queue = 0, head = 0;
  uint16_t avail_index = 0;   // its entry of the available ring is that, modulo
  uint16_t ring_entries = 0;  // how many that has
  uint16_t error = 0;         // errno of the host, the last one
  uint16_t errors = 0;        // rules that it breaks
  uint8_t status = kNoStatus;
  bool has_header = false, stable = false;
};

class Trace {
 public:
  // Errors: kNoInput: it cannot be read, or is no trace.
  static Result<Trace> load(const std::string& path);

  const TraceFileHeader& header() const { return *header_; }
  std::string slot() const { return text(header().name); }
  std::string disk() const { return text(header().disk); }
  std::span<const TraceItem> items() const { return items_; }
  std::span<const TracedRequest> requests() const { return requests_; }
  uint64_t lost() const { return lost_; }  // records for which there was no room
  // Empty, or where the file stops making sense and why: what is before is here.
  const std::string& damage() const { return damage_; }
  // Seconds since the trace began.
  double seconds(uint64_t time) const {
    return static_cast<double>(static_cast<int64_t>(time - header().started)) / 1e9;
  }
  double length() const { return items_.empty() ? 0 : seconds(items_.back().time); }

 private:
  template <size_t size>
  static std::string text(const std::array<char, size>& chars) {
    return std::string(chars.begin(), std::find(chars.begin(), chars.end(), '\0'));
  }

  // Of a queue, those that are not used yet, by head.
  using OpenRequests = std::unordered_map<uint16_t, uint32_t>;
  struct QueueState {
    OpenRequests open;
    uint16_t entries;
  };

  Result<void> read_header(const std::string& path);
  void read_chunks();
  bool read_records(uint16_t source, std::span<const std::byte> bytes);
  void merge();
  void assemble();
  void follow_device(const TraceItem& item, std::vector<QueueState>& queues);
  uint32_t take_chain(const TraceItem& item, uint32_t before, uint16_t entries);
  static void follow_request(const TraceItem& item, TracedRequest& request);
  void end_requests(OpenRequests& open, uint64_t time);

  std::vector<std::byte> bytes_;  // of the file
  const TraceFileHeader* header_ = nullptr;
  std::vector<std::vector<TraceItem>> sources_;  // while it is read; the device is the last one
  std::vector<TraceItem> items_;
  std::vector<TracedRequest> requests_;
  uint64_t lost_ = 0;
  std::string damage_;
};

// The rule that an error is about; null: one that this program does not know.
const GuestRuleText* find_rule(const TraceName& name);
std::string rule_name(const TraceName& name);

inline constexpr std::array<std::string_view, 6> kTracedTypes{"read", "write", "flush", "id", "discard", "zero"};
// One of these, or "type 9".
std::string request_type(uint32_t type);

}  // namespace acrn
