#include "hw/pci/virtio/overdue_requests.h"

#include <string>
#include <utility>

#include "acrn/base/concat.h"
#include "acrn/base/log.h"

namespace acrn {
namespace {

std::chrono::milliseconds waited(const BlkSlot& slot) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - slot.times.taken);
}

std::string seconds(std::chrono::milliseconds time) {
  return concat(time.count() / 1000, ".", time.count() % 1000 / 100, " s");
}

}  // namespace

void OverdueRequests::look_later() {
  watching_ = true;
  if (timer_ == nullptr) {
    auto timer = loop_.make_timer([this] { look(); });
    if (!timer)
      return log(LogLevel::kWarning, concat(name_, ": ", timer.error().message, "; io_timeout does not work"));
    timer_ = std::move(timer).value();
  }
  timer_->start_once(static_cast<uint64_t>(std::chrono::nanoseconds(device_.io_timeout).count()) / kLooks);
}

void OverdueRequests::look() {
  watching_ = false;
  bool in_flight = false;
  for (BlkSlot& slot : slots_) {
    if (!slot.chain.pending() || slot.held) continue;
    in_flight = true;
    const auto time = waited(slot);
    if (slot.overdue || time < device_.io_timeout) continue;
    slot.overdue = true;
    counters_.overdue.add();
    tell(slot, time);
  }
  if (in_flight) look_later();
}

void OverdueRequests::tell(const BlkSlot& slot, std::chrono::milliseconds time) const {
  const uint64_t count = counters_.overdue.value();
  if (!worth_telling(count)) return;
  const char* const operation = kDiskOperationNames[static_cast<size_t>(slot.op)].data();
  if (device_.events != nullptr) {
    device_.events->tell({DeviceEvent::Kind::kRequestOverdue, operation, count, static_cast<uint64_t>(time.count())});
  }
  log(LogLevel::kWarning, concat(name_, ": ", operation, where_text(slot, slot.disk_offset), " is not done after ",
                                 seconds(time), " (number ", count, ")"));
}

void OverdueRequests::record_end(BlkSlot& slot) const {
  slot.overdue = false;
  if (!worth_telling(counters_.overdue.value())) return;
  log(LogLevel::kWarning, concat(name_, ": ", kDiskOperationNames[static_cast<size_t>(slot.op)],
                                 where_text(slot, slot.disk_offset), " is done after ", seconds(waited(slot))));
}

}  // namespace acrn
