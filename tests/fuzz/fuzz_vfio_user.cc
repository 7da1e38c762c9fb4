// Any sequence of vfio-user messages, with any descriptors, to a session of a whole function; guest memory changes and
// shrinks between them, and clients come and go. Every reply is one that the protocol knows, and what a client leaves
// is a function as at power-on and no memory.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <optional>

#include "dm/server/vfio_user/session.h"
#include "tests/fuzz/fuzz_descriptors.h"
#include "tests/fuzz/fuzz_device.h"

namespace {

using namespace acrn;             // NOLINT(google-build-using-namespace)
using namespace acrn::test;       // NOLINT(google-build-using-namespace)
using namespace acrn::vfio_user;  // NOLINT(google-build-using-namespace)

struct MessageCount {
  ~MessageCount() { std::fprintf(stderr, "%llu messages\n", static_cast<unsigned long long>(messages)); }
  uint64_t messages = 0;
} count;

std::span<const uint8_t> as_bytes_of(const Header& header) {
  return {reinterpret_cast<const uint8_t*>(&header), sizeof(header)};  // SAFETY: a Header is Le integers
}

class Host {
 public:
  Host() {
    [[maybe_unused]] static const bool quiet = setup_logging({.console = 1}, "").ok();
    const VirtioBlkOptions options{.name = "fuzz", .queues = 2, .queue_size = 8, .discard = true};
    auto blk = VirtioBlk::create(options, memory_, guest_errors_, {&loop_});
    ACRN_CHECK(blk.ok());
    auto disk = make_ram_disk({.size = FuzzDevice::kDiskSize});
    ACRN_CHECK(disk.ok());
    ACRN_CHECK(blk.value()->attach(std::move(disk).value(), "fuzz").ok());
    function_ = std::make_unique<VirtioPciLegacy>(std::move(blk).value(), VirtioPciOptions{}, guest_errors_,
                                                  interrupts_.pin(), interrupts_.msi());
    interrupts_.attach(*function_);
    dma_.emplace(memory_, *function_);
    fresh_ = space();
    session_.emplace(*function_, *dma_, interrupts_, 0);
  }

  void message(uint16_t command, uint32_t flags, std::span<const uint8_t> payload, std::vector<UniqueFd> fds) {
    count.messages++;
    const Header header{.id = ++id_,
                        .command = command,
                        .size = static_cast<uint32_t>(sizeof(Header) + payload.size()),
                        .flags = flags,
                        .error = 0};
    const auto why = session_->handle(as_bytes_of(header), payload, std::move(fds));
    check_reply(header);
    session_->after_reply();
    if (!why.empty()) next_client();
  }

  void next_client() {
    session_.reset();
    ACRN_CHECK(dma_->empty() && memory_.map()->regions().empty());
    ACRN_CHECK(space() == fresh_);
    session_.emplace(*function_, *dma_, interrupts_, 0);
  }

  InlineLoop& loop() { return loop_; }
  void unmask() {
    server_loop_.signal_events();
    server_loop_.pump();
  }

 private:
  void check_reply(const Header& asked) {
    const auto reply = session_->reply();
    if (reply.empty()) return;
    Header header;
    ACRN_CHECK(reply.size() >= sizeof(header) && (asked.flags & (kTypeMask | kFlagNoReply)) == 0);
    std::memcpy(&header, reply.data(), sizeof(header));
    ACRN_CHECK(header.id == asked.id && header.command == asked.command && header.size == reply.size());
    ACRN_CHECK(header.flags == (header.error == 0 ? kTypeReply : kTypeReply | kFlagError));
    ACRN_CHECK(header.error == 0 || reply.size() == sizeof(header));
  }

  std::array<uint32_t, kPciConfigSize / 4> space() {
    std::array<uint32_t, kPciConfigSize / 4> words;
    for (unsigned i = 0; i < words.size(); i++) words[i] = function_->config_read(4 * i, 4);
    return words;
  }

  GuestMemory memory_{std::make_shared<const MemoryMap>(std::vector<MemoryRegion>())};
  InlineLoop server_loop_;  // which has nothing to do but watch what a client unmasks with
  IrqTable interrupts_{server_loop_};
  InlineLoop loop_;
  GuestErrors guest_errors_{"fuzz"};
  std::unique_ptr<VirtioPciLegacy> function_;
  std::optional<DmaTable> dma_;
  std::array<uint32_t, kPciConfigSize / 4> fresh_{};
  std::optional<Session> session_;
  uint16_t id_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Descriptors& fds = descriptors();
  fds.restore();
  Host host;
  // One step of a client, or of the guest behind it.
  struct Step {
    uint8_t kind, command, flags, descriptors;  // of descriptors: 2 bits how many, 3 bits which is the first
    uint16_t where, length;
  };
  FuzzInput input(data, size);
  while (!input.empty()) {
    const auto step = input.take<Step>();
    const auto payload = input.rest().first(std::min<size_t>(input.rest().size(), step.length % (kMaxPayload + 1)));
    input = FuzzInput(payload.data() + payload.size(), input.rest().size() - payload.size());
    switch (step.kind & 0xf) {
      case 0: host.next_client(); break;
      case 1: host.loop().pump(8); break;
      case 2: host.unmask(); break;
      case 3: fds.write_memory(step.where, payload); break;  // the guest's
      case 4: fds.shrink_memory(step.where); break;
      default: {
        std::vector<UniqueFd> copies;
        for (unsigned i = 0; i < (step.descriptors & 3u); i++) copies.push_back(fds.copy((step.descriptors >> 2) + i));
        host.message(step.command & 0xf, step.flags, payload, std::move(copies));
        host.loop().pump(8);
        break;
      }
    }
  }
  return 0;
}
