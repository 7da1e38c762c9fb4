// A vhost-user-blk back end in this process, with one queue and a disk in memory, that keeps to the rules but where it
// is told to break them. It serves one client after the other.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "acrn/base/unique_fd.h"
#include "acrn/virtio/ring_layout.h"
#include "acrn/virtio/virtio_spec.h"
#include "dm/vhost_user/protocol.h"
#include "tests/support/temp_dir.h"

namespace acrn::test {

class ScriptedBackEnd {
 public:
  enum class Mischief : uint8_t {
    kNone,
    kIndexJumps,     // the used index, by 1000
    kIdOutOfRange,   // of a used element
    kIdNotInFlight,  // the same
    kSameIdTwice,
    kLengthTooLong,   // that it wrote
    kLengthTooShort,  // and status OK
    kBadStatus,
    kNoStatus,  // what is there stays
    kHangsUp,
    kAnswersAndHangsUp,
  };
  struct Script {
    VirtioBlkConfig config;
    uint64_t features = 0;  // beside VERSION_1
    uint64_t queues = 1;    // the answer to GET_QUEUE_NUM
    // Of the first client only, or of all.
    bool always = false;
    Mischief mischief = Mischief::kNone;  // with each request
    unsigned hang_up_at = 0;              // the n-th message; 0: none
    unsigned garble_at = 0;               // the answer to the n-th message
    unsigned gifts = 0;                   // descriptors that come with each answer, unasked
  };

  explicit ScriptedBackEnd(Script script);
  ~ScriptedBackEnd();

  std::string socket() const { return folder_.path("disk.sock"); }
  unsigned clients() const { return clients_; }
  static VirtioBlkConfig config(uint64_t sectors);

 private:
  struct Ring {
    std::byte* desc = nullptr;
    std::byte* avail = nullptr;
    std::byte* used = nullptr;
    uint16_t size = 0, seen = 0, written = 0;
    UniqueFd kick, call;
  };

  void run();
  void serve(int client);
  bool handle(int client);
  bool answer(int client, const vhost_user::Header& header, const void* bytes, size_t size);
  bool map(const std::byte* table, std::span<const UniqueFd> files);
  std::byte* at(uint64_t guest) const;  // for a front end of ours, which calls an address what it is in its process
  void forget_client();
  bool serve_ring();
  bool serve_chain(uint16_t head);
  void push(uint32_t id, uint32_t length);

  const Script script_;
  const TempDir folder_;
  UniqueFd listening_, stop_;
  std::vector<std::byte> disk_;
  std::atomic<unsigned> clients_{0};
  // Of the client.
  unsigned messages_ = 0;
  struct Region {
    vhost_user::MemoryRegionDescription description;
    std::byte* memory;
  };
  std::vector<Region> regions_;  // of all its tables: the ring stays where it was
  Ring ring_;
  std::thread thread_;
};

}  // namespace acrn::test
