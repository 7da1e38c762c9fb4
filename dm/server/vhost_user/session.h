// Session: the vhost-user protocol for one front end, without a socket: a message in, a reply out. Whatever the
// messages are, the device sees what a driver could do, and memory that the front end has shared. One thread; a message
// may wait for requests in flight, when memory changes, or a queue is stopped or reset.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "acrn/mem/guest_memory.h"
#include "acrn/virtio/guest_rules.h"
#include "acrn/virtio/virtio_device.h"
#include "dm/server/message_session.h"
#include "dm/server/vhost_user/front_end.h"
#include "dm/server/vhost_user/inflight_area.h"
#include "dm/server/vhost_user/memory_table.h"
#include "dm/vhost_user/protocol.h"

namespace acrn::vhost_user {

class Session final : public MessageSession {
 public:
  // All of it outlives the session. The device is as after a reset. `refused`: messages of all front ends so far that
  // were. `client`: its process, 0 if that is not known.
  Session(VirtioDevice& device, GuestErrors& guest_errors, GuestMemory& memory, FrontEnd& front_end, uint64_t& refused,
          pid_t client);
  // As if the power were gone: the device reset, nothing of the front end's kept. What is held stays in the in-flight
  // area.
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Limits limits() const override { return {sizeof(Header), kMaxPayload, kMaxDescriptors}; }
  std::optional<size_t> payload_size(std::span<const uint8_t> header) const override;
  std::string_view handle(std::span<const uint8_t> header, std::span<const uint8_t> payload,
                          std::vector<UniqueFd> descriptors) override;
  std::span<const uint8_t> reply() const override { return reply_; }
  int reply_descriptor() const override { return reply_file_ ? reply_file_.fd() : -1; }

 private:
  struct Message {
    uint32_t request;
    std::span<const uint8_t> payload;
    std::vector<UniqueFd>& descriptors;
  };
  // What the front end has said of a queue. It runs while all of that is there, and it is enabled.
  struct Queue {
    uint16_t size = 0;  // entries; 0: not said
    uint16_t base = 0;  // the next chain
    std::optional<VringAddress> address;
    UniqueFd kick;
    bool enabled = false;
    bool running = false;
  };

  // These return 0 or an errno.
  int carry_out(const Message& message);
  int set_features(const Message& message);
  int set_protocol_features(const Message& message);
  int set_memory_table(const Message& message);
  int change_memory(const Message& message);
  int set_vring_num(const Message& message);
  int set_vring_address(const Message& message);
  int set_vring_base(const Message& message);
  int get_vring_base(const Message& message);
  int set_vring_descriptor(const Message& message);
  int set_vring_enable(const Message& message);
  int get_config(const Message& message);
  int set_config(const Message& message);
  int get_inflight(const Message& message);
  int set_inflight(const Message& message);
  int reset_device();

  int memory_changed(int error);

  std::optional<VringState> vring_state(const Message& message) const;
  std::optional<InflightDescription> inflight_description(const Message& message) const;
  uint64_t offered() const { return device_.features() | kVersion1 | kProtocolFeatures; }
  bool is_enabled(const Queue& queue) const { return queue.enabled || (features_ & kProtocolFeatures) == 0; }
  void update(unsigned index);
  void update_all();
  void start(unsigned index);
  void stop(unsigned index);
  template <class T>
  int answer(const T& value);

  VirtioDevice& device_;
  GuestErrors& guest_errors_;
  GuestMemory& guest_memory_;
  FrontEnd& front_end_;
  MemoryTable memory_;
  std::unique_ptr<InflightArea> inflight_;  // outlives the queues' runs
  std::vector<Queue> queues_;
  uint64_t features_ = 0;           // accepted, with those of the transport
  uint64_t protocol_features_ = 0;  // accepted
  uint64_t& refused_;               // messages, of others too
  std::string_view end_;            // why the front end is to go
  std::vector<uint8_t> reply_;
  UniqueFd reply_file_;
};

}  // namespace acrn::vhost_user
