// The rules that a driver can break, each with the clause it comes from, and GuestErrors, which counts them
// and tells the log. For people who write drivers this is the device's other product. Where the VMM that owns the guest
// is at fault, the rule says so.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"
#include "acrn/trace/trace_ring.h"
#include "acrn/virtio/device_events.h"

namespace acrn {

enum class GuestRule : uint8_t {
  // registers
  kRegisterWidth,
  kRegisterReadOnly,
  kFeatureNotOffered,
  kFeaturesAfterDriverOk,
  kNotifyUnknownQueue,
  kRingNotInRam,
  kVectorOutOfRange,
  kConfigReadOnly,
  kWceNotAccepted,
  // rings and chains
  kKickBeforeRing,
  kRingBlank,
  kAvailIndexJump,
  kHeadOutOfRange,
  kHeadInFlight,
  kNextOutOfRange,
  kChainTooLong,
  kIndirectNotAccepted,
  kIndirectNested,
  kIndirectWithNext,
  kIndirectWithWrite,
  kIndirectLength,
  kIndirectNotInRam,
  kBufferNotInRam,
  kLengthsOverflow,
  kReadableAfterWritable,
  // requests
  kHeaderTooShort,
  kStatusMissing,
  kNoMedium,
  kDataDirection,
  kDataNotSectors,
  kSectorPastEnd,
  kWriteToReadOnly,
  kUnknownType,
  kFeatureNotAccepted,
  kSegmentList,
  kSegmentTooLong,
  kSegmentFlags,
  // the VMM's
  kMemoryUnreachable,
};
inline constexpr size_t kGuestRules = static_cast<size_t>(GuestRule::kMemoryUnreachable) + 1;

constexpr bool is_vmms(GuestRule rule) { return rule >= GuestRule::kMemoryUnreachable; }

struct GuestRuleText {
  std::string_view name;    // stable, for statistics
  std::string_view rule;    // what a driver, or a VMM, does
  std::string_view source;  // where it says so
};

inline constexpr std::array<GuestRuleText, kGuestRules> kGuestRuleTexts{{
    {"register-width", "a register is written at its own offset with its own width", "virtio 0.9.5 2.2.2"},
    {"register-read-only", "HOST_FEATURES, QUEUE_NUM and ISR are not written", "virtio 0.9.5 2.2.2"},
    {"feature-not-offered", "only offered features are accepted", "virtio 0.9.5 2.2.2.2"},
    {"features-after-driver-ok", "features are settled before DRIVER_OK", "virtio 0.9.5 2.2.1"},
    {"notify-unknown-queue", "QUEUE_NOTIFY names a queue that exists", "virtio 0.9.5 2.2.2"},
    {"ring-not-in-ram", "the ring at QUEUE_PFN << 12 lies in guest RAM, also of what a VMM grants", "virtio 0.9.5 2.3"},
    {"vector-out-of-range", "a vector number is below the MSI-X table size, or 0xffff", "virtio 0.9.5 2.2.2"},
    {"config-read-only", "of the device configuration only writeback is written", "virtio 1.2 5.2.4"},
    {"wce-not-accepted", "writeback is written only after CONFIG_WCE was accepted", "virtio 1.2 5.2.4"},
    {"kick-before-ring", "a queue is kicked after its QUEUE_PFN was set", "virtio 0.9.5 2.2.1"},
    {"ring-blank",
     "a kick follows an available chain (a VMM that grants memory which is not its guest's, like QEMU without "
     "share=on, looks like a driver that writes none)",
     "virtio 0.9.5 2.4.1"},
    {"avail-index-jump", "avail.idx is at most the ring's size ahead of the device", "virtio 0.9.5 2.3.4"},
    {"head-out-of-range", "an available entry is a descriptor of the table", "virtio 0.9.5 2.3.4"},
    {"head-in-flight", "a chain is made available again only after it was used", "virtio 0.9.5 2.3.4"},
    {"next-out-of-range", "next is a descriptor of the table", "virtio 0.9.5 2.3.2"},
    {"chain-too-long", "a chain has no loop and at most as many descriptors as the ring (up to 1024 are served)",
     "virtio 1.2 2.7.5.2"},
    {"indirect-not-accepted", "INDIRECT is used only if the feature was accepted", "virtio 0.9.5 2.3.3"},
    {"indirect-nested", "an indirect table holds no INDIRECT descriptor", "virtio 1.2 2.7.5.3.1"},
    {"indirect-with-next", "INDIRECT and NEXT are not set together", "virtio 1.2 2.7.5.3.1"},
    {"indirect-with-write", "a table is for the device to read: no WRITE on it (it is served)", "virtio 0.9.5 2.3.3"},
    {"indirect-length", "a table is 1..ring-size whole descriptors long (up to 1024 are served)",
     "virtio 1.2 2.7.5.3.1"},
    {"indirect-not-in-ram", "an indirect table lies in guest RAM", "virtio 0.9.5 2.3.3"},
    {"buffer-not-in-ram", "a buffer lies in guest RAM", "virtio 0.9.5 2.3.2"},
    {"lengths-overflow", "the lengths of a chain sum to at most 2^32", "virtio 1.2 2.7.5.2"},
    {"readable-after-writable", "readable descriptors come before writable ones", "virtio 0.9.5 2.4.1"},
    {"header-too-short", "a request begins with 16 readable bytes", "virtio 0.9.5 appendix D"},
    {"status-missing", "a request ends with a writable byte for its status", "virtio 0.9.5 appendix D"},
    {"no-medium", "a disk of capacity 0 is not read or written", "virtio 0.9.5 appendix D"},
    {"data-direction", "data of a read is writable, of a write readable", "virtio 1.2 5.2.6"},
    {"data-not-sectors", "data is a multiple of 512 bytes", "virtio 1.2 5.2.6.1"},
    {"sector-past-end", "sector and length lie inside the capacity", "virtio 1.2 5.2.6.1"},
    {"write-to-read-only", "a disk that offers RO is not written", "virtio 1.2 5.2.6.1"},
    {"unknown-type", "the type is one that the device knows", "virtio 1.2 5.2.6"},
    {"feature-not-accepted", "DISCARD and WRITE_ZEROES are sent only if accepted", "virtio 1.2 5.2.6.1"},
    {"segment-list", "a segment list is 1..max_seg whole segments of 16 bytes", "virtio 1.2 5.2.6.1"},
    {"segment-too-long", "a segment has at most max_sectors sectors", "virtio 1.2 5.2.6.1"},
    {"segment-flags", "only unmap, and only in WRITE_ZEROES, is set in flags", "virtio 1.2 5.2.6.1"},
    {"memory-unreachable",
     "RAM is granted for reading and writing, as shared memory with its descriptor: share=on for each memory "
     "backend of QEMU",
     "vfio-user DMA_MAP, vhost-user SET_MEM_TABLE"},
}};

constexpr const GuestRuleText& text(GuestRule rule) { return kGuestRuleTexts[static_cast<size_t>(rule)]; }

inline TraceName trace_name(GuestRule rule, uint64_t value) {
  TraceName name{.value = value, .name = {}};
  const std::string_view text = acrn::text(rule).name;
  std::copy_n(text.begin(), std::min(text.size(), name.name.size()), name.name.begin());
  return name;
}

// Counts of one function. Any thread; no lock. `name` says in the log whose driver it is; the events outlive it.
class GuestErrors {
 public:
  explicit GuestErrors(std::string name, DeviceEvents* events = nullptr) : name_(std::move(name)), events_(events) {}
  const std::string& name() const { return name_; }

  // Before there is anybody to break a rule.
  void set_trace(DeviceTrace* trace) { trace_ = trace; }

  void record(GuestRule rule, uint64_t detail = 0) {
    if (trace_ != nullptr) [[unlikely]] {
      trace_->write(TraceEvent::kGuestError, static_cast<uint8_t>(rule), kTraceDevice, 0, trace_name(rule, detail));
    }
    record_of_queue(rule, detail);
  }
  // The queue's trace has it.
  void record_of_queue(GuestRule rule, uint64_t detail) {
    const uint64_t count = add(counts_[static_cast<size_t>(rule)]);
    if (!tell({DeviceEvent::Kind::kGuestError, text(rule).name.data(), count, detail})) return;
    log(LogLevel::kWarning,
        concat(name_, is_vmms(rule) ? ": VMM mistake " : ": guest mistake ", text(rule).name, " (number ", count,
               ", value ", hex(detail), "): the rule is: ", text(rule).rule, " (", text(rule).source, ")"));
  }
  // A queue is broken, for a rule that has just been recorded.
  void record_stop(unsigned queue) {
    const uint64_t count = add(stops_);
    if (!tell({DeviceEvent::Kind::kQueueStopped, "queue", count, queue})) return;
    log(LogLevel::kWarning, concat(name_, ": queue ", queue, " is stopped until its driver resets it (number ", count,
                                   "): what it was given last cannot be answered"));
  }
  uint64_t count(GuestRule rule) const { return counts_[static_cast<size_t>(rule)].load(std::memory_order_relaxed); }

 private:
  using Count = std::atomic<uint64_t>;

  // False: the log is not to have it.
  bool tell(const DeviceEvent& event) const {
    if (!worth_telling(event.count)) return false;
    if (events_ != nullptr) events_->tell(event);
    return log_enabled(LogLevel::kWarning);
  }
  static uint64_t add(Count& count) { return count.fetch_add(1, std::memory_order_relaxed) + 1; }

  std::string name_;
  DeviceEvents* const events_;
  DeviceTrace* trace_ = nullptr;  // null: there is none
  std::array<Count, kGuestRules> counts_{};
  Count stops_{0};
};

}  // namespace acrn
