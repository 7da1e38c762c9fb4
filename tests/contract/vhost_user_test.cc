// The vhost-user protocol over a real socket: what front ends rely on, and front ends that mean harm. After each of
// them the next one is served.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <random>

#include "dm/base/log_setup.h"
#include "dm/devices/device_table.h"
#include "dm/loopback/legacy_driver.h"
#include "dm/server/message_session.h"
#include "dm/server/vhost_user/server.h"
#include "dm/tools/vhost_user/remote_device.h"
#include "hw/pci/virtio/virtio_pci_legacy.h"
#include "tests/support/event_fd.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;        // NOLINT(google-build-using-namespace)
using namespace vhost_user;  // NOLINT(google-build-using-namespace)

constexpr PciAddress kAddress{0, 9, 0};
constexpr uint64_t kRam = 4 << 20;  // bytes
constexpr uint16_t kRing = 64;
constexpr uint64_t kRingAt = 0x1000;  // in guest memory: descriptors, and behind them the other parts

template <class T>
std::vector<uint8_t> bytes_of(const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);  // SAFETY: wire structures are integers
  return {bytes, bytes + sizeof(T)};
}

// A disk of 1 MiB in this process, served.
struct Served {
  explicit Served(const std::string& options = "ram:1M,mq=2") {
    static const bool quiet = setup_logging({.console = 1}, "").ok();
    EXPECT(quiet);
    PciSlotConfig slot = must(parse_slot("9,virtio-blk," + options));
    std::get<BlockOptions>(slot.options).queue_size = 256;
    device = must(create_bare_device(slot, {.memory = server->memory(), .shared_loop = *loop}));
    must(server->serve(device->virtio(), device->guest_errors(), path, {}));
  }
  ~Served() { server->stop(); }
  bool holds() const { return device->disk()->stats()[0].held != 0; }

  TempDir folder;
  std::string path = folder.path("vm1.9.0.sock");
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("queues", {}));
  std::unique_ptr<VirtioServer> server = must(VhostUserServer::create("0:9:0"));
  std::unique_ptr<BareDevice> device;
};

// A front end that keeps to the rules: a driver's requests are served.
void expect_serves(Served& served, unsigned seed = 1) {
  const MemoryRegion ram = must(create_shared_ram(Gpa{LoopbackMachine::kRamBase}, 16 << 20));
  LoopbackMachine board(ram);
  const auto loop = must(EpollLoop::create("front", {}));
  std::unique_ptr<RemoteDevice> remote;
  EXPECT(wait_until([&] {
    auto connected = RemoteDevice::connect(served.path, ram, *loop);
    if (connected) remote = std::move(connected).value();
    return remote != nullptr;
  }));
  GuestErrors guest_errors("front");
  VirtioPciLegacy function(std::move(remote), {}, guest_errors, board.pin(kAddress), board.msi());
  board.bus().attach(kAddress, function);
  const auto driver = must(LegacyDriver::start(board, kAddress, {.depth = 4}));
  std::vector<std::byte> data(8192, static_cast<std::byte>(seed)), back(data.size());
  EXPECT_EQ(must(driver->write(3, data)), VIRTIO_BLK_S_OK);
  EXPECT_EQ(must(driver->read(3, back)), VIRTIO_BLK_S_OK);
  EXPECT(back == data);
}

// False: the other end is closed.
bool send_with(int socket, std::span<const uint8_t> bytes, std::span<const int> files) {
  iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};  // sendmsg() only reads it
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  std::vector<uint8_t> control(CMSG_SPACE(files.size_bytes()));
  if (!files.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(rights), files.data(), files.size_bytes());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

std::pair<UniqueFd, UniqueFd> stream_pair() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// A front end that sends what it is told to.
class RawFrontEnd {
 public:
  explicit RawFrontEnd(const std::string& path) : socket_(connect_to(path)) { EXPECT(socket_); }

  // False: the server has closed the connection.
  bool send_bytes(std::span<const uint8_t> bytes, std::span<const int> files = {}) {
    return send_with(socket_.fd(), bytes, files);
  }
  bool send(uint32_t request, const std::vector<uint8_t>& payload, std::span<const int> files = {},
            uint32_t flags = kVersion | kFlagNeedReply) {
    std::vector<uint8_t> bytes = bytes_of(Header{request, flags, static_cast<uint32_t>(payload.size())});
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return send_bytes(bytes, files);
  }
  // The answer's payload; nothing if the connection has ended.
  std::optional<std::vector<uint8_t>> answer() {
    Header header{};
    // SAFETY: a Header is three integers.
    if (!receive({reinterpret_cast<uint8_t*>(&header), sizeof(header)})) return std::nullopt;
    EXPECT_EQ(header.flags, kVersion | kFlagReply);
    std::vector<uint8_t> payload(header.size);
    EXPECT(receive(payload));
    return payload;
  }
  // Whether the server says that it has carried the message out; nothing if the connection has ended.
  template <class T>
  std::optional<bool> tell(uint32_t request, const T& payload, std::span<const int> files = {}) {
    if (!send(request, bytes_of(payload), files)) return std::nullopt;
    const auto said = answer();
    if (!said) return std::nullopt;
    return *exactly<uint64_t>(*said) == 0;
  }
  template <class T>
  T ask(uint32_t request, const std::vector<uint8_t>& payload = {}) {
    EXPECT(send(request, payload));
    const auto said = answer();
    EXPECT(said && said->size() == sizeof(T));
    return *exactly<T>(*said);
  }
  bool ended() { return !answer(); }
  int fd() const { return socket_.fd(); }

 private:
  bool receive(std::span<uint8_t> to) {
    while (!to.empty()) {
      const ssize_t length = ::recv(socket_.fd(), to.data(), to.size(), 0);
      if (length < 0 && errno == EINTR) continue;
      if (length <= 0) return false;
      to = to.subspan(static_cast<size_t>(length));
    }
    return true;
  }

  UniqueFd socket_;
};

// Memory, and the messages that start queue 0 on a ring in it; guest address = user address.
struct Setup {
  Setup() {
    std::memset(ram.data, 0, kRam);
    const RingPlace ring = legacy_ring(Gpa{kRingAt}, kRing);
    address = {0, 0, raw(ring.desc), raw(ring.used), raw(ring.avail), 0};
  }
  struct Ram {
    Ram() : file(::memfd_create("guest", MFD_CLOEXEC)) {
      EXPECT(file && ::ftruncate(file.fd(), kRam) == 0);
      void* const mapped = ::mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
      EXPECT(mapped != MAP_FAILED);
      data = static_cast<std::byte*>(mapped);
    }
    ~Ram() { ::munmap(data, kRam); }
    Ram(const Ram&) = delete;
    Ram& operator=(const Ram&) = delete;
    UniqueFd file;
    std::byte* data = nullptr;
  } ram;

  // The n-th of the messages that bring a queue up; false: the server did not want it. True past the last one.
  static constexpr unsigned kSteps = 9;
  bool step(RawFrontEnd& front, unsigned n) {
    const int memory[] = {ram.file.fd()}, kick_fd[] = {kick.fd()}, call_fd[] = {call.fd()};
    std::optional<bool> done = true;
    switch (n) {
      case 0: return front.tell(SET_PROTOCOL_FEATURES, kOfferedProtocolFeatures, {}).value_or(false);
      case 1: done = front.tell(SET_FEATURES, kProtocolFeatures | kVersion1); break;
      case 2: done = front.tell(ADD_MEM_REG, SingleRegion{0, {0, kRam, 0, 0}}, memory); break;
      case 3: done = front.tell(SET_VRING_NUM, VringState{0, kRing}); break;
      case 4: done = front.tell(SET_VRING_BASE, VringState{0, 0}); break;
      case 5: done = front.tell(SET_VRING_ADDR, address); break;
      case 6: done = front.tell(SET_VRING_CALL, uint64_t{0}, call_fd); break;
      case 7: done = front.tell(SET_VRING_KICK, uint64_t{0}, kick_fd); break;
      case 8: done = front.tell(SET_VRING_ENABLE, VringState{0, 1}); break;
      default: break;
    }
    return done.value_or(false);
  }
  void bring_up(RawFrontEnd& front, unsigned steps = kSteps) {
    for (unsigned n = 0; n < steps; n++) EXPECT(step(front, n));
  }
  // With an area for what is in flight.
  void bring_up_logged(RawFrontEnd& front) {
    bring_up(front, 3);
    EXPECT(::ftruncate(area.fd(), 4096) == 0);
    const int file[] = {area.fd()};
    EXPECT(front.tell(SET_INFLIGHT_FD, InflightDescription{4096, 0, 1, kRing, {}}, file) == true);
    for (unsigned n = 3; n < kSteps; n++) EXPECT(step(front, n));
  }

  template <class T>
  void put(uint64_t at, const T& value) {
    std::memcpy(ram.data + at, &value, sizeof(value));
  }
  // A read of sector 0 in the first descriptors.
  void offer_read(uint16_t index) {
    put(0x8000, VirtioBlkOuthdr{VIRTIO_BLK_T_IN, 0, 0});
    put(0x8100, uint8_t{0xff});
    put(address.desc, VringDesc{0x8000, 16, VRING_DESC_F_NEXT, 1});
    put(address.desc + 16, VringDesc{0x9000, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2});
    put(address.desc + 32, VringDesc{0x8100, 1, VRING_DESC_F_WRITE, 0});
    put(address.avail + kRingEntries + 2 * (index % kRing), uint16_t{0});
    GuestSlice(ram.data + address.avail, 4).store16(kRingIndex, static_cast<uint16_t>(index + 1), __ATOMIC_RELEASE);
  }
  uint8_t status() const { return static_cast<uint8_t>(ram.data[0x8100]); }
  uint16_t used_index() const { return GuestSlice(ram.data + address.used, 4).load16(kRingIndex, __ATOMIC_ACQUIRE); }
  // An interrupt comes when that many chains are used.
  bool told_of(uint16_t chains) const {
    while (signalled(call.fd())) {
      if (used_index() == chains) return true;
    }
    return false;
  }

  VringAddress address{};
  const UniqueFd kick = new_eventfd(), call = new_eventfd(), area{::memfd_create("area", MFD_CLOEXEC)};
};

TEST(a_queue_is_served_and_stops_with_its_next_index) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  setup.bring_up(front);
  setup.offer_read(0);
  signal(setup.kick);
  EXPECT(setup.told_of(1));
  const auto base = front.ask<VringState>(GET_VRING_BASE, bytes_of(VringState{0, 0}));
  EXPECT_EQ(base.value, 1u);
}

// Front ends that follow other orders.
TEST(a_kick_before_the_queue_is_enabled_is_not_lost) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  setup.bring_up(front, 8);
  setup.offer_read(0);
  signal(setup.kick);
  EXPECT(front.tell(SET_VRING_NUM, VringState{1, kRing}) == true);
  EXPECT_EQ(setup.used_index(), 0u);  // it is not enabled
  EXPECT(setup.step(front, 8));
  EXPECT(setup.told_of(1));
}

// What an earlier descriptor or an earlier server was to tell may be unheard.
TEST(a_call_descriptor_is_signalled_when_it_comes) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  setup.bring_up(front);
  EXPECT(signalled(setup.call.fd()));
  EXPECT(setup.step(front, 6));
  EXPECT(signalled(setup.call.fd()));
}

TEST(memory_may_come_after_the_queue) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  for (const unsigned n : {0u, 1u, 3u, 4u, 5u, 6u, 7u, 8u}) EXPECT(setup.step(front, n));
  setup.offer_read(0);
  EXPECT(setup.step(front, 2));
  EXPECT(setup.told_of(1));
}

TEST(rings_are_enabled_from_the_start_without_protocol_features) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  const int memory[] = {setup.ram.file.fd()}, kick[] = {setup.kick.fd()}, call[] = {setup.call.fd()};
  constexpr uint32_t kPlain = kVersion;
  EXPECT(front.send(SET_FEATURES, bytes_of(uint64_t{0}), {}, kPlain));
  std::vector<uint8_t> table = bytes_of(MemoryTableHead{1, 0});
  const auto region = bytes_of(MemoryRegionDescription{0, kRam, 0, 0});
  table.insert(table.end(), region.begin(), region.end());
  EXPECT(front.send(SET_MEM_TABLE, table, memory, kPlain));
  EXPECT(front.send(SET_VRING_NUM, bytes_of(VringState{0, kRing}), {}, kPlain));
  EXPECT(front.send(SET_VRING_ADDR, bytes_of(setup.address), {}, kPlain));
  EXPECT(front.send(SET_VRING_CALL, bytes_of(uint64_t{0}), call, kPlain));
  setup.offer_read(0);
  EXPECT(front.send(SET_VRING_KICK, bytes_of(uint64_t{0}), kick, kPlain));
  EXPECT(setup.told_of(1));
}

TEST(a_disabled_queue_rests_and_goes_on) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  setup.bring_up(front);
  EXPECT(front.tell(SET_VRING_ENABLE, VringState{0, 0}) == true);
  setup.offer_read(0);
  signal(setup.kick);
  EXPECT(front.tell(SET_VRING_NUM, VringState{1, kRing}) == true);
  EXPECT_EQ(setup.used_index(), 0u);
  EXPECT(front.tell(SET_VRING_ENABLE, VringState{0, 1}) == true);
  EXPECT(setup.told_of(1));
}

TEST(the_configuration_is_read_at_any_offset) {
  Served served;
  RawFrontEnd front(served.path);
  const auto read = [&](uint32_t offset, uint32_t size) {
    std::vector<uint8_t> message = bytes_of(ConfigHead{offset, size, 0});
    message.resize(message.size() + size);
    EXPECT(front.send(GET_CONFIG, message));
    return *front.answer();
  };
  EXPECT_EQ(read(0, 60).size(), sizeof(ConfigHead) + 60);
  EXPECT_EQ(read(0, 8)[sizeof(ConfigHead) + 1], 0x08);  // 2048 sectors
  EXPECT_EQ(read(34, 2)[sizeof(ConfigHead)], 2);        // queues
  EXPECT_EQ(read(0, 256).size(), sizeof(ConfigHead) + 256);
  EXPECT(front.send(GET_CONFIG, bytes_of(ConfigHead{1, 256, 0})));
  EXPECT(front.ended());
  expect_serves(served);
}

TEST(every_message_of_any_size_leaves_a_server_that_serves) {
  Served served;
  for (uint32_t request = 0; request < 48; request++) {
    for (const size_t size : {0u, 1u, 7u, 8u, 12u, 20u, 24u, 40u, 41u, 300u, 4096u}) {
      for (const uint8_t fill : {uint8_t{0}, uint8_t{1}, uint8_t{0xff}}) {
        RawFrontEnd front(served.path);
        front.tell(SET_PROTOCOL_FEATURES, kOfferedProtocolFeatures);
        front.send(request, std::vector<uint8_t>(size, fill));
      }
    }
  }
  expect_serves(served);
}

TEST(surplus_and_missing_descriptors_are_refused) {
  Served served;
  Setup setup;
  const int many[] = {setup.kick.fd(), setup.kick.fd(), setup.kick.fd(), setup.kick.fd(), setup.kick.fd(),
                      setup.kick.fd(), setup.kick.fd(), setup.kick.fd(), setup.kick.fd()};
  RawFrontEnd front(served.path);
  EXPECT(setup.step(front, 0));
  EXPECT(front.tell(SET_FEATURES, kProtocolFeatures, std::span(many).first(1)) == false);
  EXPECT(front.tell(SET_VRING_KICK, uint64_t{0}) == false);
  EXPECT(front.tell(SET_VRING_KICK, uint64_t{0}, std::span(many).first(2)) == false);
  EXPECT(front.tell(SET_VRING_KICK, uint64_t{77}, std::span(many).first(1)) == false);
  EXPECT(front.tell(ADD_MEM_REG, SingleRegion{0, {0, kRam, 0, 0}}) == false);
  EXPECT(front.tell(SET_BACKEND_REQ_FD, uint64_t{0}, std::span(many).first(1)) == false);
  const int own[] = {front.fd()};  // would keep the connection
  EXPECT(front.tell(SET_VRING_CALL, uint64_t{0}, own) == false);
  EXPECT(front.tell(SET_BACKEND_REQ_FD, uint64_t{0}, own) == false);
  front.send(SET_MEM_TABLE, bytes_of(MemoryTableHead{9, 0}), many);
  EXPECT(front.ended());
  expect_serves(served);
}

// A client that is gone would have its connection all the same.
TEST(a_socket_with_something_in_it_is_refused_and_its_client_leaves_no_trace) {
  for (const uint32_t request : {SET_VRING_CALL, SET_BACKEND_REQ_FD}) {
    Served served;
    {
      Setup setup;
      RawFrontEnd front(served.path);
      EXPECT(setup.step(front, 0));
      const auto [server_end, client_end] = stream_pair();
      const int given[] = {server_end.fd()}, own[] = {front.fd()};
      const uint8_t byte[] = {0};
      EXPECT(front.tell(request, uint64_t{0}, given) == true);
      EXPECT(front.tell(request, uint64_t{0}, given) == true);  // again
      EXPECT(!send_with(client_end.fd(), byte, own));
      const auto [full, filler] = stream_pair();
      EXPECT(send_with(filler.fd(), byte, own));
      const int hiding[] = {full.fd()};
      EXPECT(front.tell(request, uint64_t{0}, hiding) == false);
    }
    expect_serves(served);
  }
}

TEST(rings_and_memory_that_cannot_be_are_refused) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  const int memory[] = {setup.ram.file.fd()}, kick[] = {setup.kick.fd()};
  setup.bring_up(front, 3);
  for (const uint32_t size : {0u, 1u, 3u, 512u, 65536u})
    EXPECT(front.tell(SET_VRING_NUM, VringState{0, size}) == false);
  EXPECT(front.tell(SET_VRING_BASE, VringState{0, 65536}) == false);
  EXPECT(front.tell(SET_VRING_ENABLE, VringState{0, 2}) == false);
  EXPECT(front.tell(SET_VRING_ENABLE, VringState{2, 1}) == false);
  VringAddress odd = setup.address;
  odd.used += 2;
  EXPECT(front.tell(SET_VRING_ADDR, odd) == false);
  for (const MemoryRegionDescription& region : std::initializer_list<MemoryRegionDescription>{
           {kRam / 2, kRam, 1 << 30, 0},            // overlaps in the guest
           {1 << 30, kRam, kRam / 2, 0},            // overlaps in the front end
           {1 << 30, 0, 1 << 30, 0},                // no size
           {1 << 30, kRam + 4096, 1 << 30, 0},      // past the file's end
           {1 << 30, 4096, 1 << 30, 8},             // odd
           {~uint64_t{4095}, 8192, 1 << 30, 0},     // wraps
           {1 << 30, ~uint64_t{0}, 1 << 30, 0}}) {  // of no size that there is
    EXPECT(front.tell(ADD_MEM_REG, SingleRegion{0, region}, memory) == false);
  }
  // A ring outside of memory is the driver's fault, and counted as that.
  VringAddress outside = setup.address;
  outside.desc = kRam + 0x1000;
  EXPECT(front.tell(SET_VRING_NUM, VringState{0, kRing}) == true);
  EXPECT(front.tell(SET_VRING_ADDR, outside) == true);
  EXPECT(front.tell(SET_VRING_KICK, uint64_t{0}, kick) == true);
  EXPECT(front.tell(SET_VRING_ENABLE, VringState{0, 1}) == true);
  EXPECT(served.device->guest_errors().count(GuestRule::kRingNotInRam) != 0);
  EXPECT(front.tell(SET_VRING_ADDR, setup.address) == true);
  setup.offer_read(0);
  signal(setup.kick);
  EXPECT(wait_until([&] { return setup.used_index() == 1; }));
}

TEST(a_front_end_may_leave_at_any_point) {
  Served served;
  for (unsigned steps = 0; steps <= Setup::kSteps; steps++) {
    Setup setup;
    {
      RawFrontEnd front(served.path);
      setup.bring_up(front, steps);
      setup.offer_read(0);
      signal(setup.kick);
    }
    const uint8_t part[] = {1, 0, 0};
    RawFrontEnd(served.path).send_bytes(part);  // in the middle of a header
    expect_serves(served, steps + 1);
  }
}

TEST(memory_that_is_taken_away_costs_its_owner_the_disk_and_nobody_else) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  setup.bring_up(front);
  EXPECT_EQ(::ftruncate(setup.ram.file.fd(), 0), 0);
  signal(setup.kick);
  EXPECT(wait_until([&] { return !front.tell(SET_FEATURES, kProtocolFeatures).has_value(); }));
  expect_serves(served);
}

TEST(an_in_flight_area_full_of_anything_is_survived) {
  Served served;
  std::minstd_rand random{1};  // NOLINT(bugprone-random-generator-seed): the same each time
  for (unsigned round = 0; round < 50; round++) {
    Setup setup;
    RawFrontEnd front(served.path);
    setup.bring_up(front, 3);
    const UniqueFd area(::memfd_create("area", MFD_CLOEXEC));
    std::array<uint8_t, 4096> bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(round == 0 ? 0xff : random());
    EXPECT_EQ(::pwrite(area.fd(), bytes.data(), bytes.size(), 0), 4096);
    const int file[] = {area.fd()};
    EXPECT(front.tell(SET_INFLIGHT_FD, InflightDescription{4096, 0, 1, kRing, {}}, file) == true);
    EXPECT(front.tell(SET_INFLIGHT_FD, InflightDescription{4096, 0, 1, 1024, {}}, file) == false);
    EXPECT(front.tell(SET_INFLIGHT_FD, InflightDescription{4096, 0, 3, kRing, {}}, file) == false);
    for (unsigned n = 3; n < Setup::kSteps; n++) EXPECT(setup.step(front, n));
    setup.offer_read(0);
    signal(setup.kick);
    EXPECT_EQ(::pwrite(area.fd(), bytes.data(), bytes.size(), 0), 4096);
    front.ask<VringState>(GET_VRING_BASE, bytes_of(VringState{0, 0}));
  }
  expect_serves(served);
}

// The area says that a chain which can never be answered is in flight.
TEST(a_queue_that_was_broken_is_served_after_a_reset_with_the_same_in_flight_area) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  setup.bring_up_logged(front);
  setup.offer_read(0);
  setup.put(setup.address.desc, VringDesc{0x8000, 16, 0, 0});  // no status
  signal(setup.kick);
  EXPECT(wait_until([&] { return served.device->guest_errors().count(GuestRule::kStatusMissing) == 1; }));
  EXPECT(front.send(RESET_DEVICE, {}));
  EXPECT(front.answer() == bytes_of(uint64_t{0}));
  std::memset(setup.ram.data, 0, kRam);
  for (const unsigned n : {1u, 3u, 4u, 5u, 7u, 8u}) EXPECT(setup.step(front, n));
  setup.offer_read(0);
  signal(setup.kick);
  EXPECT(setup.told_of(1));
}

constexpr const char* kHolding = "ram:1M,mq=2,rerror=stop,fault=read:EIO";

TEST(what_is_held_when_a_server_ends_is_carried_out_by_the_next_one) {
  Setup setup;
  {
    Served served(kHolding);
    RawFrontEnd front(served.path);
    setup.bring_up_logged(front);
    setup.offer_read(0);
    signal(setup.kick);
    EXPECT(wait_until([&] { return served.holds(); }));
  }
  EXPECT_EQ(setup.used_index(), 0u);
  EXPECT_EQ(setup.status(), 0xff);
  Served next;
  RawFrontEnd front(next.path);
  setup.bring_up_logged(front);
  EXPECT(setup.told_of(1));
  EXPECT_EQ(setup.status(), VIRTIO_BLK_S_OK);
}

TEST(what_is_held_when_a_queue_stops_or_the_device_is_reset_has_failed) {
  for (const uint32_t request : {GET_VRING_BASE, RESET_DEVICE}) {
    Served served(kHolding);
    Setup setup;
    RawFrontEnd front(served.path);
    setup.bring_up_logged(front);
    setup.offer_read(0);
    signal(setup.kick);
    EXPECT(wait_until([&] { return served.holds(); }));
    EXPECT(front.send(request, bytes_of(VringState{0, 0})));
    EXPECT(front.answer().has_value());
    EXPECT_EQ(setup.used_index(), 1u);
    EXPECT_EQ(setup.status(), VIRTIO_BLK_S_IOERR);
  }
}

TEST(a_full_call_descriptor_delays_nobody) {
  Served served;
  Setup setup;
  RawFrontEnd front(served.path);
  EXPECT_EQ(::eventfd_write(setup.call.fd(), ~uint64_t{0} - 1), 0);
  EXPECT_EQ(::fcntl(setup.call.fd(), F_SETFL, O_RDWR), 0);  // a write would wait
  setup.bring_up(front);
  for (uint16_t i = 0; i < 5; i++) {
    setup.offer_read(i);
    signal(setup.kick);
    EXPECT(wait_until([&] { return setup.used_index() == i + 1; }));
  }
}

}  // namespace
}  // namespace acrn
