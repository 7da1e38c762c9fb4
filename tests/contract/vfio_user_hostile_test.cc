// What a client of the vfio-user server may do to it. Whatever that is, the server lives, keeps nothing of a client
// that has gone, and serves the next one.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>

#include "dm/block/sources/mapped_reads.h"
#include "tests/contract/vfio_user_rig.h"

namespace acrn {
namespace {

using namespace test;       // NOLINT(google-build-using-namespace)
using namespace vfio_user;  // NOLINT(google-build-using-namespace)

using Bytes = VfioUserClient::Bytes;

constexpr uint32_t kRegisters = VirtioPciLegacy::kRegisterBar, kConfig = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr uint32_t kArm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
constexpr uint32_t kDisable = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
constexpr uint64_t kPage = kPageBytes;
constexpr unsigned kLastCommand = 16;  // and none of the protocol's is above

// What clients leave in this process: descriptors, and mappings of a guest's memory.
struct Traces {
  size_t descriptors = 0, mappings = 0;
  bool operator==(const Traces&) const = default;

  static Traces now() {
    Traces traces;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
      traces.descriptors++;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("/memfd:guest") != std::string::npos) traces.mappings++;
    }
    return traces;
  }
};

// A client as it should be, with a driver on a board of its own.
void expect_serves_the_next(const std::string& path) {
  const PciAddress address{0, 9, 0};
  SharedMemory memory(4 * kMiB);
  LoopbackMachine board(memory.region(kBase));
  RemoteFunction remote(path, memory, kBase, board.pin(address), board.msi());
  EXPECT_EQ(remote.config_read(0, 4), 0x1001'1af4u);
  EXPECT_EQ(remote.config_read(4, 2), 0u);
  board.bus().attach(address, remote);
  const auto driver = must(LegacyDriver::start(board, address, {.depth = 4, .max_bytes = 4096}));
  static uint8_t value = 0;
  const auto data = filled(4096, ++value);
  EXPECT_EQ(must(driver->write(8, data)), VIRTIO_BLK_S_OK);
  std::vector<std::byte> back(data.size());
  EXPECT_EQ(must(driver->read(8, back)), VIRTIO_BLK_S_OK);
  EXPECT(back == data);
}

// A served function, and what this process has while nobody is its client.
struct Target : Served {
  // To be called when no client is there.
  void expect_no_traces() {
    EXPECT(wait_until([&] { return Traces::now() == clean_; }));
  }
  void expect_well() {
    expect_no_traces();
    expect_serves_the_next(path);
    expect_no_traces();
  }

 private:
  const Traces clean_ = Traces::now();
};

// What it does is all that a client does to a target which is well before and after.
void attack(const std::function<void(Target&)>& act) {
  Target target;
  act(target);
  target.expect_well();
}

struct NegotiatedClient : VfioUserClient {
  explicit NegotiatedClient(const std::string& path) : VfioUserClient(path) { EXPECT_EQ(negotiate(), 0); }
};

template <class... Parts>
Bytes joined(const Parts&... parts) {
  Bytes all;
  (all.insert(all.end(), parts.begin(), parts.end()), ...);
  return all;
}

// A payload that the command takes.
Bytes good_payload(unsigned command) {
  const auto bytes = [](const auto& value) { return VfioUserClient::bytes_of(value); };
  switch (command) {
    case VFIO_USER_VERSION: return bytes(Version{0, 0});
    case VFIO_USER_DMA_MAP: return bytes(DmaMap{sizeof(DmaMap), 3, 0, raw(kBase), kPage});
    case VFIO_USER_DMA_UNMAP: return bytes(DmaUnmap{sizeof(DmaUnmap), 0, raw(kBase), kPage});
    case VFIO_USER_DEVICE_GET_INFO: return bytes(DeviceInfo{sizeof(DeviceInfo), 0, 0, 0});
    case VFIO_USER_DEVICE_GET_REGION_INFO: return bytes(RegionInfo{.argsz = sizeof(RegionInfo), .index = 7});
    case VFIO_USER_DEVICE_GET_IRQ_INFO: return bytes(IrqInfo{sizeof(IrqInfo), 0, 0, 0});
    case VFIO_USER_DEVICE_SET_IRQS: return bytes(IrqSet{sizeof(IrqSet), kDisable, 0, 0, 0});
    case VFIO_USER_REGION_READ: return bytes(RegionAccess{0, kConfig, 4});
    case VFIO_USER_REGION_WRITE: return joined(bytes(RegionAccess{4, kConfig, 2}), Bytes{7, 0});
    default: return {};
  }
}

bool takes_payload(unsigned command) { return !good_payload(command).empty(); }

Bytes good_message(unsigned command, uint32_t flags = 0) {
  return VfioUserClient::message(static_cast<uint16_t>(command), good_payload(command), flags);
}

Bytes header_of_size(uint32_t size, unsigned command = VFIO_USER_DEVICE_RESET) {
  return VfioUserClient::bytes_of(Header{1, static_cast<uint16_t>(command), size, 0, 0});
}

// A client's life from its first byte to a request in flight: messages, and the descriptor that each brings.
struct Step {
  Bytes message;
  int fd = -1;
};

struct Life {
  Life() {
    const auto say = [&](uint16_t command, const auto& payload, int fd = -1) {
      steps.push_back({VfioUserClient::message(command, payload), fd});
    };
    const auto write = [&](uint32_t region, uint64_t offset, uint32_t size, uint64_t value) {
      const Bytes data = VfioUserClient::bytes_of(Le64(value));
      say(VFIO_USER_REGION_WRITE,
          joined(VfioUserClient::bytes_of(RegionAccess{offset, region, size}), std::span(data).first(size)));
    };
    ring.emplace(must(create_ring(board, 64, 0, false)));
    say(VFIO_USER_VERSION, good_payload(VFIO_USER_VERSION));
    say(VFIO_USER_DMA_MAP, VfioUserClient::bytes_of(DmaMap{sizeof(DmaMap), 3, 0, raw(kBase), memory.size}),
        memory.fd.fd());
    say(VFIO_USER_DEVICE_GET_INFO, good_payload(VFIO_USER_DEVICE_GET_INFO));
    say(VFIO_USER_DEVICE_SET_IRQS, VfioUserClient::bytes_of(IrqSet{sizeof(IrqSet), kArm, 2, 0, 1}), event.fd());
    say(VFIO_USER_DEVICE_SET_IRQS, VfioUserClient::bytes_of(IrqSet{sizeof(IrqSet), 0x14, 0, 0, 1}), event.fd());
    write(kConfig, 0x04, 2, 7);
    write(kRegisters, VIRTIO_PCI_STATUS, 1, 3);
    write(kRegisters, VIRTIO_PCI_QUEUE_PFN, 4, ring->pfn());
    write(kRegisters, VIRTIO_PCI_STATUS, 1, 7);
    const Gpa header = *board.allocate(16, 16), data = *board.allocate(kPage, 512), status = *board.allocate(1, 1);
    board.ram(header, 16).store(0, VirtioBlkOuthdr{VIRTIO_BLK_T_IN, 0, 0});
    ring->write_desc(0, {raw(header), 16, VRING_DESC_F_NEXT, 1});
    ring->write_desc(1, {raw(data), uint32_t{kPage}, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2});
    ring->write_desc(2, {raw(status), 1, VRING_DESC_F_WRITE, 0});
    ring->write_avail_index(1);
    write(kRegisters, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
    say(VFIO_USER_DMA_UNMAP, VfioUserClient::bytes_of(DmaUnmap{sizeof(DmaUnmap), 0, raw(kBase), memory.size}));
    say(VFIO_USER_DEVICE_RESET, Bytes{});
  }

  SharedMemory memory{2 * kMiB};
  LoopbackMachine board{memory.region(kBase)};
  std::optional<DriverRing> ring;
  UniqueFd event = new_eventfd();
  std::vector<Step> steps;
};

// The errno of its reply.
int ask(VfioUserClient& client, unsigned command, std::span<const uint8_t> payload, std::span<const int> fds = {}) {
  return client.ask(static_cast<uint16_t>(command), payload, fds).error();
}
int ask(VfioUserClient& client, unsigned command) { return ask(client, command, good_payload(command)); }

std::span<const int> one(const int& fd) { return fd < 0 ? std::span<const int>() : std::span<const int>(&fd, 1); }

}  // namespace

TEST(a_message_that_is_cut_anywhere_is_refused) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    for (unsigned command = 0; command <= kLastCommand; command++) {
      if (command == VFIO_USER_VERSION || !takes_payload(command)) continue;
      const Bytes payload = good_payload(command);
      for (size_t size = 0; size < payload.size(); size++) {
        row(concat("command ", command, ", ", size, " bytes"),
            [&] { EXPECT_EQ(ask(client, command, std::span(payload).first(size)), EINVAL); });
      }
    }
  });
}

TEST(a_message_that_goes_on_behind_its_end_is_refused) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    for (unsigned command = 0; command <= kLastCommand; command++) {
      Bytes payload = good_payload(command);
      for (const size_t more : {size_t{1}, size_t{8}, kMaxPayload - payload.size()}) {
        payload.resize(good_payload(command).size() + more);
        row(concat("command ", command, ", ", more, " bytes more"),
            [&] { EXPECT(ask(client, command, payload) != 0); });
      }
    }
  });
}

TEST(a_message_of_a_size_that_none_has_ends_the_connection) {
  attack([](Target& target) {
    for (const uint32_t size :
         {0u, 1u, 15u, uint32_t{sizeof(Header) + kMaxPayload + 1}, 0x7fff'ffffu, 0x8000'0000u, ~0u}) {
      for (const bool known : {false, true}) {
        VfioUserClient client(target.path);
        if (known) EXPECT_EQ(client.negotiate(), 0);
        EXPECT(client.send(header_of_size(size)));
        EXPECT(client.dropped());
        EXPECT(!client.receive());
      }
    }
  });
}

TEST(a_first_version_that_is_cut_ends_the_connection) {
  attack([](Target& target) {
    for (size_t size = 0; size < sizeof(Version); size++) {
      VfioUserClient client(target.path);
      EXPECT_EQ(ask(client, VFIO_USER_VERSION, Bytes(size)), EINVAL);
      EXPECT(client.dropped());
    }
  });
}

TEST(nothing_comes_before_the_version) {
  attack([](Target& target) {
    for (unsigned command = 0; command <= kLastCommand; command++) {
      if (command == VFIO_USER_VERSION) continue;
      VfioUserClient client(target.path);
      EXPECT(client.send(good_message(command)));
      const auto reply = client.receive();
      EXPECT(reply && reply->error() == EINVAL);
      EXPECT(client.dropped());
    }
  });
}

TEST(a_version_comes_once) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    for (unsigned i = 0; i < 3; i++) EXPECT_EQ(client.negotiate(), EINVAL);
    EXPECT_EQ(client.read(kConfig, 0, 4), 0x1001'1af4u);
  });
}

TEST(a_client_asks_and_does_not_answer) {
  attack([](Target& target) {
    for (uint32_t type = 1; type <= kTypeMask; type++) {
      for (const uint32_t flags : {0u, kFlagNoReply, kFlagError, ~kTypeMask}) {
        NegotiatedClient client(target.path);
        EXPECT(client.send(good_message(VFIO_USER_DEVICE_GET_INFO, type | flags)));
        EXPECT(!client.receive());
      }
    }
  });
}

TEST(a_message_that_comes_again_and_again_does_what_it_did) {
  attack([](Target& target) {
    Guest guest(target.path);
    for (unsigned command = 0; command <= kLastCommand; command++) {
      if (command == VFIO_USER_DMA_MAP || command == VFIO_USER_DMA_UNMAP) continue;
      const int first = ask(guest.client, command);
      for (unsigned i = 0; i < 20; i++) EXPECT_EQ(ask(guest.client, command), first);
    }
    for (unsigned i = 0; i < 20; i++) EXPECT_EQ(guest.client.map(kBase, guest.memory), EEXIST);
    EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
    for (unsigned i = 0; i < 20; i++) EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), ENOENT);
  });
}

TEST(descriptors_come_with_the_messages_that_take_them) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    const UniqueFd event = new_eventfd();
    const std::vector<int> fds(kMaxDescriptors, event.fd());
    for (unsigned command = 0; command <= kLastCommand; command++) {
      for (const size_t number : {size_t{1}, kMaxDescriptors / sizeof(Header) + 1, kMaxDescriptors}) {
        row(concat("command ", command, ", ", number, " descriptors"),
            [&] { EXPECT(ask(client, command, good_payload(command), std::span(fds).first(number)) != 0); });
      }
    }
    for (size_t number = 1; number <= kMaxDescriptors; number++) {
      for (const uint32_t wanted : {0u, 1u, 2u}) {
        const int error = client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 0, wanted, std::span(fds).first(number));
        EXPECT_EQ(error, wanted == number ? 0 : EINVAL);
      }
    }
  });
}

TEST(more_descriptors_than_a_message_may_have_end_the_connection) {
  attack([](Target& target) {
    const UniqueFd event = new_eventfd();
    for (const size_t number : {kMaxDescriptors + 1, size_t{253}}) {
      NegotiatedClient client(target.path);
      EXPECT(client.send(good_message(VFIO_USER_DMA_MAP), std::vector<int>(number, event.fd())));
      EXPECT(client.dropped());
    }
  });
}

TEST(descriptors_on_each_byte_of_a_header_are_counted_together) {
  attack([](Target& target) {
    const UniqueFd event = new_eventfd();
    const Bytes message = good_message(VFIO_USER_DEVICE_SET_IRQS);
    for (const size_t each : {size_t{1}, kMaxDescriptors / sizeof(Header) + 1, kMaxDescriptors}) {
      NegotiatedClient client(target.path);
      const std::vector<int> fds(each, event.fd());
      for (size_t i = 0; i < message.size(); i++) {
        if (!client.send(std::span(message).subspan(i, 1), i < sizeof(Header) ? fds : std::vector<int>())) break;
      }
      if (each == 1) {
        const auto reply = client.receive();
        EXPECT(reply && reply->error() == EINVAL);
      } else {
        EXPECT(client.dropped());
      }
    }
  });
}

TEST(descriptors_behind_the_header_end_the_connection) {
  attack([](Target& target) {
    SharedMemory memory(kMiB);
    const Bytes message = good_message(VFIO_USER_DMA_MAP);
    for (const size_t at : {sizeof(Header), sizeof(Header) + 1, message.size() - 1}) {
      NegotiatedClient client(target.path);
      EXPECT(client.send(std::span(message).first(at)));
      const int fd = memory.fd.fd();
      client.send(std::span(message).subspan(at), one(fd));
      EXPECT(client.dropped());
    }
  });
}

TEST(a_client_that_finds_no_room_for_its_descriptors_is_dropped) {
  attack([](Target& target) {
    {
      VfioUserClient other(target.path);  // as below: UBSan needs descriptors for what it has not seen yet
      other.send(header_of_size(0));
      EXPECT(other.dropped());
    }
    NegotiatedClient client(target.path);
    SharedMemory memory(kMiB);
    rlimit old;
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
    const rlimit none{3, old.rlim_max};  // and those are taken
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const bool sent = client.send(good_message(VFIO_USER_DMA_MAP), one(memory.fd.fd()));
    const bool dropped = client.dropped();
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
    EXPECT(sent && dropped);
  });
}

TEST(a_server_that_cannot_be_made_says_so) {
  EXPECT(VfioUserServer::create("0:9:0").ok());  // UBSan needs descriptors for what it has not seen yet
  rlimit old;
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  const rlimit none{3, old.rlim_max};  // and those are taken
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto server = VfioUserServer::create("0:9:0");
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT(!server);
  EXPECT_CONTAINS(server.error().message, "Too many open files");
}

TEST(what_is_not_memory_is_not_mapped) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(16 * kPage);
    int pipe[2], pair[2];
    EXPECT(::pipe2(pipe, O_CLOEXEC) == 0 && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const std::string self = concat("/proc/self/fd/", memory.fd.fd());
    UniqueFd sealed(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT(::ftruncate(sealed.fd(), 16 * kPage) == 0 && ::fcntl(sealed.fd(), F_ADD_SEALS, F_SEAL_WRITE) == 0);
    const auto open = [](const std::string& path, int flags) {
      return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC));
    };
    struct Kind {
      const char* name;
      UniqueFd fd;
    };
    Kind kinds[] = {{"pipe", UniqueFd(pipe[0])},
                    {"other end", UniqueFd(pipe[1])},
                    {"socket", UniqueFd(pair[0])},
                    {"its peer", UniqueFd(pair[1])},
                    {"/dev/null", open("/dev/null", O_RDWR)},
                    {"/dev/zero", open("/dev/zero", O_RDWR)},
                    {"directory", open("/tmp", O_RDONLY)},
                    {"eventfd", new_eventfd()},
                    {"read-only", open(self, O_RDONLY)},
                    {"write-only", open(self, O_WRONLY)},
                    {"path", open(self, O_PATH)},
                    {"sealed", std::move(sealed)},
                    {"process", open("/proc/self/mem", O_RDWR)}};
    for (const Kind& kind : kinds) {
      row(kind.name, [&] {
        EXPECT(kind.fd);
        EXPECT(client.map(raw(kBase), 16 * kPage, 0, kind.fd.fd()) != 0);
      });
    }
    // Nothing of it is in the way of what is memory.
    EXPECT_EQ(client.map(kBase, memory), 0);
  });
}

TEST(memory_that_is_shorter_than_its_range_is_not_mapped) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(4 * kPage);
    const int fd = memory.fd.fd();
    EXPECT_EQ(client.map(0, 5 * kPage, 0, fd), EINVAL);
    EXPECT_EQ(client.map(0, 4 * kPage, kPage, fd), EINVAL);
    EXPECT_EQ(client.map(0, kPage, 4 * kPage, fd), EINVAL);
    EXPECT_EQ(client.map(0, kPage, ~uint64_t{0} - kPage + 1, fd), EINVAL);
    EXPECT_EQ(client.map(0, kPage, uint64_t{1} << 63, fd), EINVAL);
    EXPECT_EQ(client.map(0, kPage, (uint64_t{1} << 63) - kPage, fd), EINVAL);
    EXPECT_EQ(client.map(0, kPage, 3 * kPage, fd), 0);
  });
}

TEST(a_piece_of_memory_is_whole_pages_inside_the_address_space) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(4 * kPage);
    constexpr uint64_t kTop = ~uint64_t{0} - kPage + 1;
    for (const int fd : {-1, memory.fd.fd()}) {
      EXPECT_EQ(client.map(0, 0, 0, fd), EINVAL);
      EXPECT_EQ(client.map(1, kPage, 0, fd), EINVAL);
      EXPECT_EQ(client.map(0, kPage - 1, 0, fd), EINVAL);
      EXPECT_EQ(client.map(0, 1, 0, fd), EINVAL);
      EXPECT_EQ(client.map(0, kPage, 512, fd), EINVAL);
      EXPECT_EQ(client.map(kTop, 2 * kPage, 0, fd), EINVAL);
      EXPECT_EQ(client.map(2 * kPage, kTop, 0, fd), EINVAL);
      EXPECT_EQ(client.map(0, kTop, 0, fd), ENOSPC);
      EXPECT_EQ(client.map(0, DmaTable::kMaxBytes + kPage, 0, fd), ENOSPC);
      for (const uint32_t flags : {4u, 8u, 0x8000'0003u, ~0u}) EXPECT_EQ(client.map(0, kPage, 0, fd, flags), EINVAL);
      EXPECT_EQ(client.map(kTop, kPage, 0, fd), 0);
      EXPECT_EQ(client.map(kTop, kPage, 0, fd), EEXIST);
      EXPECT_EQ(client.unmap(kTop, kPage), 0);
    }
  });
}

TEST(pieces_of_memory_do_not_overlap) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(8 * kPage);
    const int fd = memory.fd.fd();
    EXPECT_EQ(client.map(4 * kPage, 4 * kPage, 0, fd), 0);
    for (uint64_t first = 0; first < 12; first++) {
      for (uint64_t pages = 1; pages <= 8; pages++) {
        const bool apart = first + pages <= 4 || first >= 8;
        for (const int with : {-1, fd}) {
          EXPECT_EQ(client.map(first * kPage, pages * kPage, 0, with), apart ? 0 : EEXIST);
          if (apart) EXPECT_EQ(client.unmap(first * kPage, pages * kPage), 0);
        }
      }
    }
  });
}

TEST(only_what_was_mapped_is_unmapped_and_only_as_a_whole) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(8 * kPage);
    EXPECT_EQ(client.unmap(0, kPage), ENOENT);
    EXPECT_EQ(client.map(4 * kPage, 4 * kPage, 0, memory.fd.fd()), 0);
    for (uint64_t first = 0; first < 12; first++) {
      for (uint64_t pages = 0; pages <= 8; pages++) {
        if (first != 4 || pages != 4) EXPECT_EQ(client.unmap(first * kPage, pages * kPage), ENOENT);
      }
    }
    EXPECT_EQ(client.unmap(4 * kPage, ~uint64_t{0}), ENOENT);
    EXPECT_EQ(client.map(8 * kPage, kPage, 0, memory.fd.fd()), 0);
    EXPECT_EQ(client.unmap(4 * kPage, 5 * kPage), ENOENT);  // two pieces
    for (const uint32_t flags : {1u, 3u, 4u, ~0u}) EXPECT_EQ(client.unmap(4 * kPage, 4 * kPage, flags), ENOTSUP);
    EXPECT_EQ(client.unmap(4 * kPage, 4 * kPage, VFIO_DMA_UNMAP_FLAG_ALL), EINVAL);
    EXPECT_EQ(client.unmap(0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
    EXPECT_EQ(client.unmap(4 * kPage, 4 * kPage), ENOENT);
  });
}

TEST(there_is_an_end_to_the_pieces_of_memory) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(kPage);
    for (uint64_t i = 0; i < kMaxDmaMaps; i++) EXPECT_EQ(client.map(2 * i * kPage, kPage, 0, memory.fd.fd()), 0);
    for (const int fd : {-1, memory.fd.fd()}) EXPECT_EQ(client.map(kPage, kPage, 0, fd), ENOSPC);
    EXPECT_EQ(client.unmap(0, kPage), 0);
    EXPECT_EQ(client.map(kPage, kPage, 0, memory.fd.fd()), 0);
  });
}

TEST(a_huge_sparse_file_is_mapped_without_its_memory) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    const UniqueFd file(::memfd_create("guest", MFD_CLOEXEC));
    constexpr uint64_t kSize = uint64_t{1} << 38;
    EXPECT_EQ(::ftruncate(file.fd(), static_cast<off_t>(kSize)), 0);
    EXPECT_EQ(client.map(0, kSize, 0, file.fd()), 0);
    EXPECT_EQ(client.unmap(0, kSize), 0);
  });
}

// Where huge pages are the file's own, an unmap and the replacement of lost memory have to be in those.
TEST(a_piece_of_huge_pages_comes_and_goes_like_any_other) {
  const UniqueFd file(::memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB));
  if (!file) SKIP("memory in huge pages");
  attack([&](Target& target) {
    EXPECT_EQ(::ftruncate(file.fd(), 4 * kMiB), 0);
    NegotiatedClient client(target.path);
    for (unsigned i = 0; i < 3; i++) {
      EXPECT_EQ(client.map(raw(kBase), 160 * kPage, 0, file.fd()), 0);
      EXPECT_EQ(client.map(raw(kBase) + kMiB, 2 * kMiB, 256 * kPage, file.fd()), 0);
      EXPECT_EQ(client.unmap(raw(kBase), 160 * kPage), 0);
      EXPECT_EQ(client.unmap(raw(kBase) + kMiB, 2 * kMiB), 0);
    }
  });
}

// There may be none in the pool, which is as if the file had been shortened.
TEST(a_ring_in_huge_pages_that_are_not_there_is_lost_memory) {
  const UniqueFd file(::memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB));
  if (!file) SKIP("memory in huge pages");
  attack([&](Target& target) {
    EXPECT_EQ(::ftruncate(file.fd(), 4 * kMiB), 0);
    NegotiatedClient client(target.path);
    EXPECT_EQ(client.map(raw(kBase), 160 * kPage, 0, file.fd()), 0);
    client.write(kRegisters, VIRTIO_PCI_QUEUE_PFN, 4, static_cast<uint32_t>(raw(kBase) / kPage));
    client.write(kRegisters, VIRTIO_PCI_STATUS, 1, 7);
    EXPECT_EQ(::ftruncate(file.fd(), 0), 0);
    client.write(kRegisters, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0);
    // The queue's loop touches it in its own time; the client is let go at the first message after that.
    EXPECT(wait_until([&] { return !client.send(good_message(VFIO_USER_DEVICE_GET_INFO)) || !client.receive(); }));
  });
}

TEST(memory_that_is_taken_away_ends_the_connection_when_it_is_used) {
  for (const uint64_t left : {uint64_t{0}, kPage, 64 * kPage}) {
    attack([&](Target& target) {
      Guest guest(target.path);
      guest.start_queue();
      guest.offer_read();
      EXPECT_EQ(::ftruncate(guest.memory.fd.fd(), static_cast<off_t>(left)), 0);
      // With the ring still there it is the request that fails, or nothing at all.
      guest.kick();
      if (left == 64 * kPage) return;
      EXPECT(wait_until(
          [&] { return !guest.client.send(good_message(VFIO_USER_DEVICE_GET_INFO)) || !guest.client.receive(); }));
    });
  }
}

TEST(memory_is_taken_away_under_requests_in_flight) {
  for (const uint64_t left : {uint64_t{0}, kPage, 4 * kPage}) {
    attack([&](Target& target) {
      Guest guest(target.path);
      guest.start_queue();
      target.faults->hold();
      for (unsigned i = 0; i < 16; i++) guest.offer_read();
      guest.kick();
      target.faults->wait_for_held(16);
      EXPECT_EQ(::ftruncate(guest.memory.fd.fd(), static_cast<off_t>(left)), 0);
      target.faults->release();
      EXPECT(wait_until(
          [&] { return !guest.client.send(good_message(VFIO_USER_DEVICE_GET_INFO)) || !guest.client.receive(); }));
    });
  }
}

TEST(memory_that_comes_and_goes_all_the_time_is_survived) {
  attack([](Target& target) {
    for (unsigned round = 0; round < 10; round++) {
      Guest guest(target.path);
      guest.start_queue();
      std::atomic<bool> over{false};
      std::thread other([&] {
        while (!over) {
          EXPECT(::ftruncate(guest.memory.fd.fd(), 0) == 0);
          EXPECT(::ftruncate(guest.memory.fd.fd(), static_cast<off_t>(guest.memory.size)) == 0);
        }
      });
      for (unsigned i = 0; i < 50; i++) {
        if (!guest.client.send(good_message(VFIO_USER_DEVICE_GET_INFO)) || !guest.client.receive()) break;
        const Bytes kick =
            joined(VfioUserClient::bytes_of(RegionAccess{VIRTIO_PCI_QUEUE_NOTIFY, kRegisters, 2}), Bytes{0, 0});
        if (!guest.client.send(VfioUserClient::message(VFIO_USER_REGION_WRITE, kick)) || !guest.client.receive()) break;
      }
      over = true;
      other.join();
    }
  });
}

// Of a disk in a file, reads into four pages of which only the first one is left, and hands on the status' address.
void read_into_what_is_taken_away(MapMode map, const std::function<void(Guest&, Gpa)>& check) {
  const TempDir folder;
  GuestErrors guest_errors("file");
  const auto loop = must(EpollLoop::create("queues", {}));
  const auto server = must(VfioUserServer::create("0:9:0"));
  auto device = must(VirtioBlk::create({}, server->memory(), guest_errors, {loop.get()}));
  VirtioBlk& block = *device;
  VirtioPciLegacy function(std::move(device), {}, guest_errors, server->pin(), server->msi());
  BlockOptions disk;
  const std::string image = folder.file("disk.img", kMiB);
  std::ofstream(image, std::ios::in | std::ios::binary) << std::string(64 * kPage, 'x');  // so it is in memory
  disk.source = FilePath{image};
  disk.map = map;
  must(block.attach(open_backend(disk), "SERIAL"));
  const std::string path = folder.path("vm1.9.0.sock");
  must(server->serve(function, path, {}));
  struct Serving {
    PciServer& server;
    ~Serving() { server.stop(); }
  } serving{*server};
  {
    Guest guest(path);
    SharedMemory data(4 * kPage);
    constexpr Gpa kData{uint64_t{1} << 32};
    EXPECT_EQ(guest.client.map(kData, data), 0);
    guest.start_queue();
    const Gpa status = guest.offer_read();
    guest.ring->write_desc(1, {raw(kData), uint32_t{4 * kPage}, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2});
    EXPECT_EQ(::ftruncate(data.fd.fd(), kPage), 0);
    guest.kick();
    check(guest, status);
  }
  expect_serves_the_next(path);
}

// A system call meets the end of the memory's file as an error and not as a signal.
TEST(a_request_whose_data_is_taken_away_fails_alone) {
  read_into_what_is_taken_away(MapMode::kOff, [](Guest& guest, Gpa status) {
    EXPECT(wait_until([&] { return guest.byte(status) != 0xff; }));
    EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
    const Gpa next = guest.offer_read();
    guest.kick();
    EXPECT(wait_until([&] { return guest.byte(next) == VIRTIO_BLK_S_OK; }));
  });
}

TEST(data_that_is_copied_to_what_is_taken_away_ends_the_connection) {
  const TempDir folder;
  const UniqueFd file(::open(folder.file("disk.img", kMiB).c_str(), O_RDWR | O_CLOEXEC));
  if (const auto why = MappedReads::unsuited(file.fd(), false); !why.empty()) SKIP("a mapping: " + why);
  read_into_what_is_taken_away(MapMode::kAuto, [](Guest& guest, Gpa status) {
    EXPECT(wait_until([&] { return guest.byte(status) != 0xff; }));
    EXPECT(wait_until(
        [&] { return !guest.client.send(good_message(VFIO_USER_DEVICE_GET_INFO)) || !guest.client.receive(); }));
  });
}

TEST(a_descriptor_that_is_no_eventfd_is_no_interrupt) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    SharedMemory memory(kPage);
    int pipe[2], pair[2];
    EXPECT(::pipe2(pipe, O_CLOEXEC) == 0 && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const UniqueFd fds[] = {UniqueFd(pipe[0]),
                            UniqueFd(pipe[1]),
                            UniqueFd(pair[0]),
                            UniqueFd(pair[1]),
                            UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)),
                            UniqueFd(::open("/tmp", O_RDONLY | O_CLOEXEC))};
    std::vector<int> bad{memory.fd.fd()};
    for (const UniqueFd& fd : fds) bad.push_back(fd.fd());
    const UniqueFd good = new_eventfd();
    for (const int fd : bad) {
      EXPECT(client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, one(fd)) != 0);
      EXPECT(client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 1, 1, one(fd)) != 0);
      const int both[] = {good.fd(), fd};
      EXPECT(client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 0, 2, both) != 0);
      client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, one(fd));
    }
    // All or none: the good one of each pair is not armed either.
    EXPECT_EQ(client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kDisable, 0, 1), 0);
    EXPECT_EQ(take_signals(good.fd()), 0u);
  });
}

TEST(an_eventfd_that_is_full_and_blocks_keeps_nobody) {
  attack([](Target& target) {
    Guest guest(target.path);
    guest.start_queue();
    const UniqueFd event = new_eventfd();
    for (const uint32_t index : {VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX}) {
      EXPECT_EQ(guest.client.set_irqs(index, kArm, 0, 1, one(event.fd())), 0);
    }
    const uint64_t most = ~uint64_t{0} - 1;
    EXPECT(::write(event.fd(), &most, sizeof(most)) == sizeof(most));
    EXPECT_EQ(::fcntl(event.fd(), F_SETFL, O_RDWR), 0);
    for (const uint32_t index : {VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX}) {
      for (unsigned i = 0; i < 10; i++) EXPECT_EQ(guest.client.set_irqs(index, kDisable, 0, 1), 0);
    }
    // The queue's own interrupts too.
    for (unsigned i = 0; i < 10; i++) {
      const Gpa status = guest.offer_read();
      guest.kick();
      EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
      EXPECT_EQ(
          guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1), 0);
    }
    EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_ISR, 1), 1u);
  });
}

TEST(an_eventfd_that_unmasks_for_ever_keeps_nobody) {
  attack([](Target& target) {
    Guest guest(target.path);
    guest.start_queue();
    const UniqueFd event = new_eventfd(), unmask = new_eventfd();
    EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, one(event.fd())), 0);
    // Each signal of the line is one of the eventfd that unmasks it.
    EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, 0x14, 0, 1, one(event.fd())), 0);
    const Gpa status = guest.offer_read();
    guest.kick();
    EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
    for (unsigned i = 0; i < 100; i++) EXPECT_EQ(guest.client.read(kConfig, 0, 4), 0x1001'1af4u);
    EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_ISR, 1), 1u);
    for (unsigned i = 0; i < 10; i++)
      EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, 0x14, 0, 1, one(unmask.fd())), 0);
  });
}

TEST(every_combination_of_an_interrupt_request_is_done_or_refused) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    const UniqueFd event = new_eventfd();
    const std::vector<int> fds(3, event.fd());
    unsigned done = 0;
    for (uint32_t flags = 0; flags < 0x80; flags++) {
      for (const uint32_t index : {0u, 1u, 2u, 3u, 4u, 5u, ~0u}) {
        for (const uint32_t start : {0u, 1u, 2u, ~0u}) {
          for (const uint32_t number : {0u, 1u, 2u, 3u, ~0u}) {
            for (const size_t brought : {size_t{0}, size_t{1}, size_t{number % 4}}) {
              // Its data too, where it has some.
              Bytes payload = VfioUserClient::bytes_of(IrqSet{sizeof(IrqSet), flags, index, start, number});
              if ((flags & VFIO_IRQ_SET_DATA_BOOL) != 0) payload.resize(payload.size() + number % 4, 1);
              const int error = ask(client, VFIO_USER_DEVICE_SET_IRQS, payload, std::span(fds).first(brought));
              if (error == 0) done++;
              if (index > 2 || start > 2 || number > 3) EXPECT_EQ(error, EINVAL);
            }
          }
        }
      }
    }
    EXPECT(done > 50);
  });
}

TEST(a_client_that_dies_in_the_middle_of_a_message_leaves_no_trace) {
  attack([](Target& target) {
    const Life life;
    for (size_t last = 0; last < life.steps.size(); last++) {
      const Step& end = life.steps[last];
      for (size_t cut = 0; cut <= end.message.size(); cut += cut + 8 < end.message.size() ? 5 : 1) {
        VfioUserClient client(target.path);
        for (size_t i = 0; i < last; i++) {
          EXPECT(client.send(life.steps[i].message, one(life.steps[i].fd)));
          EXPECT(client.receive());
        }
        if (cut != 0) EXPECT(client.send(std::span(end.message).first(cut), one(end.fd)));
      }
    }
  });
}

TEST(a_client_that_dies_without_having_read_leaves_no_trace) {
  attack([](Target& target) {
    const Life life;
    for (size_t last = 0; last <= life.steps.size(); last++) {
      VfioUserClient client(target.path);
      for (size_t i = 0; i < last; i++) EXPECT(client.send(life.steps[i].message, one(life.steps[i].fd)));
      if (last % 2 == 0) client.end_of_messages();
    }
  });
}

TEST(a_client_that_dies_with_requests_in_flight_leaves_no_trace) {
  for (const unsigned requests : {1u, 16u}) {
    attack([&](Target& target) {
      {
        Guest guest(target.path);
        guest.start_queue();
        target.faults->hold();
        for (unsigned i = 0; i < requests; i++) guest.offer_read();
        guest.kick();
        target.faults->wait_for_held(requests);
      }
      target.faults->release();
    });
  }
}

TEST(a_client_that_dies_while_it_unmaps_in_flight_leaves_no_trace) {
  attack([](Target& target) {
    {
      Guest guest(target.path);
      guest.start_queue();
      target.faults->hold();
      for (unsigned i = 0; i < 8; i++) guest.offer_read();
      guest.kick();
      target.faults->wait_for_held(8);
      const DmaUnmap piece{sizeof(DmaUnmap), 0, raw(kBase), guest.memory.size};
      EXPECT(guest.client.send(VfioUserClient::message(VFIO_USER_DMA_UNMAP, VfioUserClient::bytes_of(piece))));
      EXPECT(guest.client.send(good_message(VFIO_USER_DEVICE_RESET)));
    }
    target.faults->release();
  });
}

TEST(a_client_that_never_reads_waits_for_itself) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    const Bytes request = VfioUserClient::message(VFIO_USER_REGION_READ,
                                                  VfioUserClient::bytes_of(RegionAccess{0, kConfig, kPciConfigSize}));
    // Its replies are longer than its requests, so the server stops reading; then this side is full as well.
    client.do_not_wait();
    unsigned sent = 0;
    EXPECT(wait_until([&] { return (client.send(request) ? ++sent : 0) == 0; }));
    EXPECT(sent > 10);
    // It is still the one client.
    VfioUserClient other(target.path);
    EXPECT(other.dropped());
  });
}

TEST(as_many_messages_as_come_at_once_are_answered) {
  attack([](Target& target) {
    NegotiatedClient client(target.path);
    for (const unsigned command : {VFIO_USER_DEVICE_RESET, VFIO_USER_DEVICE_GET_INFO}) {
      for (unsigned number = 1; number <= 150; number++) {
        Bytes all;
        for (unsigned i = 0; i < number; i++) all = joined(all, good_message(command));
        EXPECT(client.send(all));
        for (unsigned i = 0; i < number; i++) {
          row(concat("command ", command, ", ", i + 1, " of ", number), [&] { EXPECT(client.receive()); });
        }
      }
    }
  });
}

TEST(a_client_may_send_a_byte_at_a_time) {
  attack([](Target& target) {
    const Life life;
    VfioUserClient client(target.path);
    for (const Step& step : life.steps) {
      for (size_t i = 0; i < step.message.size(); i++) {
        EXPECT(client.send(std::span(step.message).subspan(i, 1), i == 0 ? one(step.fd) : std::span<const int>()));
      }
      const auto reply = client.receive();
      EXPECT(reply && reply->error() == 0);
    }
  });
}

TEST(who_comes_second_is_turned_away_and_disturbs_nobody) {
  attack([](Target& target) {
    Guest guest(target.path);
    guest.start_queue();
    SharedMemory memory(kMiB);
    for (unsigned round = 0; round < 20; round++) {
      VfioUserClient second(target.path);
      second.send(good_message(VFIO_USER_VERSION));
      second.send(good_message(VFIO_USER_DMA_MAP), one(memory.fd.fd()));
      second.send(good_message(VFIO_USER_DEVICE_RESET));
      EXPECT(second.dropped());
      const Gpa status = guest.offer_read();
      guest.kick();
      EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
    }
    EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_STATUS, 1), 7u);
  });
}

TEST(clients_that_come_and_go_at_once_leave_no_trace) {
  attack([](Target& target) {
    std::vector<std::thread> all;
    for (unsigned i = 0; i < 4; i++) {
      all.emplace_back([&] {
        const Life life;
        for (unsigned round = 0; round < 30; round++) {
          VfioUserClient client(target.path);
          for (size_t step = 0; step < round % life.steps.size(); step++) {
            if (!client.send(life.steps[step].message, one(life.steps[step].fd))) break;
          }
        }
      });
    }
    for (std::thread& one : all) one.join();
  });
}

TEST(a_server_may_end_while_its_client_goes) {
  for (unsigned round = 0; round < 100; round++) {
    Served served;
    auto client = std::make_unique<NegotiatedClient>(served.path);
    std::thread other([&] { client.reset(); });
    if (round % 3 != 0) other.join();
    served.server->stop();
    served.function.reset();
    served.server.reset();
    if (round % 3 == 0) other.join();
    served.server = must(VfioUserServer::create("0:9:0"));
  }
}

namespace {
// What is written to standard error while `act` runs, in lines.
size_t lines_while(const std::function<void()>& act) {
  const TempDir folder;
  const UniqueFd file(::open(folder.path("log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600));
  const UniqueFd old(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  EXPECT(file && old && ::dup2(file.fd(), STDERR_FILENO) == STDERR_FILENO);
  try {
    act();
  } catch (...) {
    ::dup2(old.fd(), STDERR_FILENO);
    throw;
  }
  EXPECT(::dup2(old.fd(), STDERR_FILENO) == STDERR_FILENO);
  size_t lines = 0;
  std::ifstream text(folder.path("log"));
  for (std::string line; std::getline(text, line);) lines++;
  return lines;
}
}  // namespace

TEST(a_client_does_not_fill_the_log) {
  Target target;
  const size_t lines = lines_while([&] {
    for (unsigned round = 0; round < 20; round++) {
      NegotiatedClient client(target.path);
      EXPECT_EQ(client.map(0, kPage, 0, -1), 0);
      for (unsigned i = 0; i < 50; i++) {
        if (!client.send(good_message(VFIO_USER_DEVICE_GET_INFO)) || !client.receive()) break;
      }
    }
    for (unsigned round = 0; round < 20; round++) {
      NegotiatedClient client(target.path);
      for (unsigned i = 0; i < 50; i++) EXPECT_EQ(ask(client, 99), ENOTSUP);
      client.send(header_of_size(0));
      EXPECT(client.dropped());
    }
  });
  EXPECT(lines < 30);
  target.expect_well();
}

}  // namespace acrn
