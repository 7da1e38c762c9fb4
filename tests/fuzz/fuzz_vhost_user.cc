// Any sequence of vhost-user messages, with any descriptors, to a session of a device; guest memory and the in-flight
// area change and shrink between them, and front ends come and go. Every reply is one that the protocol knows, and what
// a front end leaves is a device as at power-on and no memory.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>

#include "acrn/virtio/ring_layout.h"
#include "dm/server/vhost_user/session.h"
#include "tests/fuzz/fuzz_descriptors.h"
#include "tests/fuzz/fuzz_device.h"

namespace {

using namespace acrn;              // NOLINT(google-build-using-namespace)
using namespace acrn::test;        // NOLINT(google-build-using-namespace)
using namespace acrn::vhost_user;  // NOLINT(google-build-using-namespace)

constexpr uint64_t kUser = 0x7000'0000;  // where the front end has its guest's memory
constexpr uint16_t kRing = 8;

struct MessageCount {
  ~MessageCount() { std::fprintf(stderr, "%llu messages\n", static_cast<unsigned long long>(messages)); }
  uint64_t messages = 0;
} count;

template <class T>
std::span<const uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};  // SAFETY: wire structures are integers
}

class Host {
 public:
  Host() {
    [[maybe_unused]] static const bool quiet = setup_logging({.console = 1}, "").ok();
    const VirtioBlkOptions options{.name = "fuzz", .queues = 2, .queue_size = kRing, .discard = true};
    auto blk = VirtioBlk::create(options, memory_, guest_errors_, {&loop_});
    ACRN_CHECK(blk.ok());
    device_ = std::move(blk).value();
    auto disk = make_ram_disk({.size = FuzzDevice::kDiskSize});
    ACRN_CHECK(disk.ok() && device_->attach(std::move(disk).value(), "fuzz").ok());
    device_->connect(front_end_);
    session_.emplace(*device_, guest_errors_, memory_, front_end_, refused_, 0);
  }

  void message(uint32_t request, uint32_t flags, std::span<const uint8_t> payload, std::vector<UniqueFd> fds) {
    count.messages++;
    const Header header{request, flags, static_cast<uint32_t>(payload.size())};
    ACRN_CHECK(session_->payload_size(bytes_of(header)) == payload.size());
    const auto why = session_->handle(bytes_of(header), payload, std::move(fds));
    check_reply(header);
    if (!why.empty()) next_client();
  }
  template <class T>
  void send(uint32_t request, const T& payload, int descriptor = -1) {
    std::vector<UniqueFd> fds;
    if (descriptor >= 0) fds.push_back(descriptors().copy(static_cast<unsigned>(descriptor)));
    message(request, kVersion | kFlagNeedReply, bytes_of(payload), std::move(fds));
  }

  // What a good front end says.
  void bring_up(uint64_t features, bool log) {
    send(SET_PROTOCOL_FEATURES, kOfferedProtocolFeatures);
    send(SET_FEATURES, features | kProtocolFeatures | kVersion1);
    send(ADD_MEM_REG, SingleRegion{0, {0, kFuzzMemory, kUser, 0}}, 0);
    if (log) send(SET_INFLIGHT_FD, InflightDescription{4096, 0, 2, kRing, {}}, 3);
    for (uint32_t index = 0; index < 2; index++) {
      const uint64_t ring = kUser + 0x1000 * (index + 1);
      send(SET_VRING_NUM, VringState{index, kRing});
      send(SET_VRING_BASE, VringState{index, 0});
      send(SET_VRING_ADDR, VringAddress{index, 0, ring, ring + 0x200, ring + 0x100, 0});
      send(SET_VRING_CALL, uint64_t{index}, 1);
      send(SET_VRING_KICK, uint64_t{index}, 2);
      send(SET_VRING_ENABLE, VringState{index, 1});
    }
  }

  void next_client() {
    session_.reset();
    ACRN_CHECK(memory_.map()->regions().empty());
    session_.emplace(*device_, guest_errors_, memory_, front_end_, refused_, 0);
  }

  InlineLoop& loop() { return loop_; }

 private:
  void check_reply(const Header& asked) {
    const auto reply = session_->reply();
    if (reply.empty()) return;
    Header header;
    ACRN_CHECK(reply.size() >= sizeof(header));
    std::memcpy(&header, reply.data(), sizeof(header));
    ACRN_CHECK(header.request == asked.request && header.flags == (kVersion | kFlagReply));
    ACRN_CHECK(sizeof(header) + header.size == reply.size());
    ACRN_CHECK(session_->reply_descriptor() < 0 || header.request == GET_INFLIGHT_FD);
  }

  GuestMemory memory_{std::make_shared<const MemoryMap>(std::vector<MemoryRegion>())};
  FrontEnd front_end_{2};
  uint64_t refused_ = 0;
  InlineLoop loop_;
  GuestErrors guest_errors_{"fuzz"};
  std::unique_ptr<VirtioBlk> device_;
  std::optional<Session> session_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Descriptors& fds = descriptors();
  fds.restore();
  Host host;
  // One step of a front end, or of the guest behind it.
  struct Step {
    uint8_t kind, request, flags, descriptors;  // of descriptors: 3 bits how many, 3 bits which is the first
    uint16_t where, length;
  };
  FuzzInput input(data, size);
  while (!input.empty()) {
    const auto step = input.take<Step>();
    const auto payload = input.rest().first(std::min<size_t>(input.rest().size(), step.length % 512));
    input = FuzzInput(payload.data() + payload.size(), input.rest().size() - payload.size());
    switch (step.kind & 0xf) {
      case 0: host.next_client(); break;
      case 1: host.loop().pump(8); break;
      case 2: host.loop().signal_events(); break;
      case 3: fds.write_memory(step.where, payload); break;
      case 4: fds.write_area(step.where, payload); break;
      case 5: fds.shrink_memory(step.where); break;
      case 6: fds.shrink_area(step.where); break;
      case 7: host.bring_up(step.where, (step.flags & 1) != 0); break;
      default: {
        std::vector<UniqueFd> copies;
        for (unsigned i = 0; i < (step.descriptors & 7u); i++) copies.push_back(fds.copy((step.descriptors >> 3) + i));
        host.message(step.request % 45, step.flags, payload, std::move(copies));
        host.loop().pump(8);
        break;
      }
    }
  }
  return 0;
}
