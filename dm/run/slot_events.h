// SlotEvents: what a device and its server tell of themselves, on its way to the clients of the control socket.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "acrn/virtio/device_events.h"
#include "dm/control/control_event.h"

namespace acrn {

// Of one slot. Any thread.
class SlotEvents final : public DeviceEvents {
 public:
  // Called when a request is held, as tell() is.
  using OnHeld = std::function<void(const DeviceEvent& event)>;

  // `slot`: "0:9:0". The buffer outlives it.
  SlotEvents(
      std::string slot, EventBuffer& buffer, OnHeld on_held = [](const DeviceEvent&) {})
      : slot_(std::move(slot)), buffer_(buffer), on_held_(std::move(on_held)) {}

  void tell(const DeviceEvent& event) override {
    buffer_.add(
        {.kind = kind_of(event.kind), .slot = slot_, .name = event.name, .count = event.count, .value = event.value});
    if (event.kind == DeviceEvent::Kind::kRequestHeld) on_held_(event);
  }
  // A client of the server has come, or left.
  void tell_client(bool connected) {
    const uint64_t clients = connected ? ++clients_ : --clients_;
    buffer_.add(
        {.kind = ControlEventKind::kClient, .slot = slot_, .name = connected ? "connected" : "left", .value = clients});
  }
  uint64_t clients() const { return clients_; }

 private:
  static ControlEventKind kind_of(DeviceEvent::Kind kind) {
    switch (kind) {
      case DeviceEvent::Kind::kGuestError: return ControlEventKind::kGuestError;
      case DeviceEvent::Kind::kQueueStopped: return ControlEventKind::kQueueStopped;
      case DeviceEvent::Kind::kDiskError: return ControlEventKind::kIoError;
      case DeviceEvent::Kind::kRequestHeld: return ControlEventKind::kHeld;
      case DeviceEvent::Kind::kRequestOverdue: return ControlEventKind::kOverdue;
      case DeviceEvent::Kind::kResized: return ControlEventKind::kResized;
    }
    return ControlEventKind::kIoError;
  }

  const std::string slot_;
  EventBuffer& buffer_;
  const OnHeld on_held_;
  std::atomic<uint64_t> clients_{0};  // publishes nothing else
};

}  // namespace acrn
