// The vfio-user server, message by message, as QEMU's docs/interop/vfio-user.rst has it and QEMU 11.1 uses it.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>

#include "tests/contract/vfio_user_rig.h"

namespace acrn {
namespace {

using namespace test;       // NOLINT(google-build-using-namespace)
using namespace vfio_user;  // NOLINT(google-build-using-namespace)

constexpr uint32_t kRegisters = 0, kTableBar = 1, kConfig = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr uint32_t kArm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
constexpr uint32_t kUnmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
constexpr uint32_t kMask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK;
constexpr uint32_t kDisable = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;

VfioUserClient::Bytes version_request(uint16_t major, uint16_t minor, size_t json) {
  auto bytes = VfioUserClient::bytes_of(Version{major, minor});
  if (json != 0) bytes.insert(bytes.end(), json - 1, ' ');
  if (json != 0) bytes.push_back(0);
  return bytes;
}

}  // namespace

TEST(the_version_is_the_lower_one_of_both) {
  for (const uint16_t minor : std::initializer_list<uint16_t>{0, 1, 9}) {
    Served served;
    VfioUserClient client(served.path);
    const auto reply = client.ask(VFIO_USER_VERSION, std::span<const uint8_t>(version_request(0, minor, 0)));
    EXPECT_EQ(reply.error(), 0);
    EXPECT_EQ(uint16_t{reply.as<Version>().major}, 0u);
    EXPECT_EQ(uint16_t{reply.as<Version>().minor}, minor == 0 ? 0u : 1u);
  }
}

TEST(the_version_reply_is_no_longer_than_its_request_or_than_what_all_clients_understand) {
  for (const size_t json : {0, 1, 2, 3, 40, 200, 1000}) {
    Served served;
    VfioUserClient client(served.path);
    const auto request = version_request(0, 0, json);
    const auto reply = client.ask(VFIO_USER_VERSION, std::span<const uint8_t>(request));
    const std::string least = R"({"capabilities":{}})";
    EXPECT(reply.payload.size() <= std::max(request.size(), sizeof(Version) + least.size() + 1));
    const std::string text(reply.payload.begin() + sizeof(Version), reply.payload.end());
    if (json == 0) EXPECT(text.empty());
    if (json > 0 && json < 100) EXPECT_EQ(text, least + '\0');
    if (json >= 200) EXPECT_CONTAINS(text, "\"max_msg_fds\":16");
  }
}

TEST(another_major_version_ends_the_connection) {
  Served served;
  VfioUserClient client(served.path);
  EXPECT_EQ(client.ask(VFIO_USER_VERSION, std::span<const uint8_t>(version_request(1, 0, 3))).error(), EINVAL);
  EXPECT(client.dropped());
}

TEST(a_device_is_described_as_pci_with_its_regions_and_interrupts) {
  Served served;
  Guest guest(served.path);
  const auto info = guest.client.ask(VFIO_USER_DEVICE_GET_INFO, DeviceInfo{.argsz = 16}).as<DeviceInfo>();
  EXPECT_EQ(uint32_t{info.flags}, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
  EXPECT_EQ(uint32_t{info.regions}, 9u);
  EXPECT_EQ(uint32_t{info.irqs}, 5u);
  const uint64_t sizes[] = {served.function->bar_shape(0).size, 4096, 0, 0, 0, 0, 0, 256, 0};
  for (uint32_t region = 0; region < 9; region++) {
    const auto reply = guest.client.ask(VFIO_USER_DEVICE_GET_REGION_INFO, RegionInfo{.argsz = 32, .index = region});
    EXPECT_EQ(reply.payload.size(), sizeof(RegionInfo));
    EXPECT_EQ(uint64_t{reply.as<RegionInfo>().size}, sizes[region]);
    EXPECT_EQ(uint32_t{reply.as<RegionInfo>().flags}, sizes[region] != 0 ? 3u : 0u);
  }
  EXPECT_EQ(guest.client.ask(VFIO_USER_DEVICE_GET_REGION_INFO, RegionInfo{.argsz = 32, .index = 9}).error(), EINVAL);
}

TEST(the_kinds_of_interrupts_are_those_that_the_function_has) {
  for (const bool single_msi : {false, true}) {
    Served served({.single_msi = single_msi});
    Guest guest(served.path);
    const auto irq = [&](uint32_t index) {
      return guest.client.ask(VFIO_USER_DEVICE_GET_IRQ_INFO, IrqInfo{.argsz = 16, .index = index});
    };
    EXPECT_EQ(uint32_t{irq(0).as<IrqInfo>().count}, 1u);
    EXPECT_EQ(uint32_t{irq(0).as<IrqInfo>().flags},
              VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED);
    EXPECT_EQ(uint32_t{irq(1).as<IrqInfo>().count}, single_msi ? 1u : 0u);
    EXPECT_EQ(uint32_t{irq(2).as<IrqInfo>().count}, single_msi ? 0u : 2u);
    EXPECT_EQ(uint32_t{irq(2).as<IrqInfo>().flags}, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE);
    EXPECT_EQ(irq(3).error(), EINVAL);
    EXPECT_EQ(irq(5).error(), EINVAL);
  }
}

TEST(configuration_space_is_read_at_once_or_in_any_piece) {
  Served served;
  Guest guest(served.path);
  const auto whole = guest.client.ask(VFIO_USER_REGION_READ, RegionAccess{0, kConfig, 256});
  EXPECT_EQ(whole.payload.size(), sizeof(RegionAccess) + 256);
  for (uint32_t size : {1, 2, 3, 4, 5, 7, 8, 16}) {
    for (uint32_t offset = 0; offset + size <= 256; offset += size) {
      const auto part = guest.client.ask(VFIO_USER_REGION_READ, RegionAccess{offset, kConfig, size});
      EXPECT(std::equal(part.payload.begin() + sizeof(RegionAccess), part.payload.end(),
                        whole.payload.begin() + sizeof(RegionAccess) + offset));
    }
  }
  EXPECT_EQ(guest.client.ask(VFIO_USER_REGION_READ, RegionAccess{250, kConfig, 8}).error(), EINVAL);
}

TEST(a_bar_is_accessed_as_a_processor_could) {
  Served served;
  Guest guest(served.path);
  for (const uint32_t count : {0, 3, 5, 16}) {
    EXPECT_EQ(guest.client.ask(VFIO_USER_REGION_READ, RegionAccess{0, kRegisters, count}).error(), EINVAL);
  }
  const uint64_t end = served.function->bar_shape(0).size;
  EXPECT_EQ(guest.client.ask(VFIO_USER_REGION_READ, RegionAccess{end - 2, kRegisters, 4}).error(), EINVAL);
  EXPECT_EQ(guest.client.ask(VFIO_USER_REGION_READ, RegionAccess{~uint64_t{0}, kRegisters, 1}).error(), EINVAL);
  EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_QUEUE_NUM, 2), 64u);
}

TEST(what_is_not_supported_is_refused) {
  Served served;
  Guest guest(served.path);
  for (const uint16_t command :
       {VFIO_USER_DEVICE_GET_REGION_IO_FDS, Command(11), Command(12), Command(15), Command(16), Command(999)}) {
    EXPECT_EQ(guest.client.ask(command).error(), ENOTSUP);
  }
}

TEST(who_wants_no_reply_gets_none) {
  Served served;
  Guest guest(served.path);
  const auto payload = VfioUserClient::bytes_of(DeviceInfo{.argsz = 16});
  EXPECT(guest.client.send(VfioUserClient::message(VFIO_USER_DEVICE_GET_INFO, payload, kFlagNoReply)));
  EXPECT(guest.client.send(VfioUserClient::message(999, {}, kFlagNoReply)));
  EXPECT_EQ(guest.client.read(kConfig, 0, 2), 0x1af4u);  // ask() would see a reply to another message
}

TEST(messages_in_a_row_are_answered_in_their_order) {
  Served served;
  Guest guest(served.path);
  VfioUserClient::Bytes all;
  for (uint16_t id = 100; id < 400; id++) {
    const auto one = VfioUserClient::message(VFIO_USER_REGION_READ,
                                             VfioUserClient::bytes_of(RegionAccess{id % 64u, kConfig, 1}), 0, id);
    all.insert(all.end(), one.begin(), one.end());
  }
  EXPECT(guest.client.send(all));
  for (uint16_t id = 100; id < 400; id++) EXPECT_EQ(uint16_t{guest.client.receive()->header.id}, id);
}

TEST(memory_that_is_not_shared_is_refused_when_the_device_is_asked_for) {
  Served served;
  VfioUserClient client(served.path);
  EXPECT_EQ(client.negotiate(), 0);
  EXPECT_EQ(client.map(0, kMiB, 0, -1), 0);
  EXPECT_EQ(client.ask(VFIO_USER_DEVICE_GET_INFO, DeviceInfo{.argsz = 16}).error(), ENOTSUP);
}

TEST(memory_may_be_shared_in_part) {
  Served served;
  VfioUserClient client(served.path);
  EXPECT_EQ(client.negotiate(), 0);
  EXPECT_EQ(client.map(0, kMiB, 0, -1), 0);
  const SharedMemory memory(kMiB);
  EXPECT_EQ(client.map(Gpa{kMiB}, memory), 0);
  EXPECT_EQ(client.ask(VFIO_USER_DEVICE_GET_INFO, DeviceInfo{.argsz = 16}).error(), 0);
}

TEST(a_request_reaches_memory_behind_an_offset) {
  Served served;
  Guest guest(served.path);
  EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
  // The same memory, in two pieces that follow each other.
  const uint64_t half = guest.memory.size / 2;
  EXPECT_EQ(guest.client.map(raw(kBase) + half, half, half, guest.memory.fd.fd()), 0);
  EXPECT_EQ(guest.client.map(raw(kBase), half, 0, guest.memory.fd.fd()), 0);
  guest.start_queue();
  guest.board.allocate(half, 4096);
  const Gpa status = guest.offer_read();
  EXPECT(raw(status) > raw(kBase) + half);
  guest.kick();
  EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  EXPECT(guest.board.ram(guest.last_data, 1).load<std::byte>(0) == pattern(0));
}

TEST(a_buffer_may_cross_from_one_piece_into_the_next) {
  Served served;
  Guest guest(served.path);
  EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
  constexpr uint64_t kPiece = 64 * 1024;
  for (uint64_t offset = 0; offset < kMiB; offset += kPiece) {
    EXPECT_EQ(guest.client.map(raw(kBase) + offset, kPiece, offset, guest.memory.fd.fd()), 0);
  }
  guest.start_queue();
  guest.board.allocate(kPiece - 256, kPiece);
  const Gpa status = guest.offer_read(16);
  EXPECT(raw(guest.last_data) / kPiece < (raw(guest.last_data) + 511) / kPiece);
  guest.kick();
  EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  for (uint64_t i = 0; i < 512; i++) {
    EXPECT(guest.board.ram(guest.last_data, 512).load<std::byte>(i) == pattern(i));
  }
}

TEST(memory_granted_for_reading_only_is_not_written) {
  Served served;
  Guest guest(served.path);
  guest.start_queue();
  guest.board.allocate(8 * kMiB, 4096);
  guest.offer_read();  // far from the ring
  const uint64_t half = guest.memory.size / 2;
  EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
  EXPECT_EQ(guest.client.map(raw(kBase) + half, half, half, guest.memory.fd.fd(), VFIO_DMA_MAP_FLAG_READ), 0);
  EXPECT_EQ(guest.client.map(raw(kBase), half, 0, guest.memory.fd.fd()), 0);
  guest.kick();
  EXPECT(wait_until([&] { return served.guest_errors.count(GuestRule::kMemoryUnreachable) == 1; }));
  EXPECT_EQ(guest.byte(guest.last_status), 0xffu);
  EXPECT_EQ(guest.ring->used_index(), 0);
  EXPECT_EQ(served.guest_errors.count(GuestRule::kBufferNotInRam), 0u);
}

// As QEMU grants memory that is not shared: a DIMM that was plugged in later.
// COVERS(Q18): over vfio-user
TEST(memory_granted_without_a_descriptor_is_an_error_and_the_vmms_fault) {
  Served served;
  Guest guest(served.path);
  guest.start_queue();
  constexpr uint64_t kFar = uint64_t{1} << 32;
  EXPECT_EQ(guest.client.map(kFar, kMiB, 0, -1), 0);
  const Gpa status = guest.offer_read();
  guest.ring->write_desc(1, {kFar + 4096, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2});
  guest.kick();
  EXPECT(wait_until([&] { return guest.ring->used_index() == 1; }));
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(served.guest_errors.count(GuestRule::kMemoryUnreachable), 1u);
  EXPECT_EQ(served.guest_errors.count(GuestRule::kBufferNotInRam), 0u);
  EXPECT_EQ(guest.client.unmap(kFar, kMiB), 0);
  guest.offer_read();
  guest.ring->write_desc(4, {kFar + 4096, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 5});
  guest.kick();
  EXPECT(wait_until([&] { return guest.ring->used_index() == 2; }));
  EXPECT_EQ(served.guest_errors.count(GuestRule::kBufferNotInRam), 1u);
}

// QEMU's memory-backend-file without share=on.
// COVERS(Q18): over vfio-user
TEST(memory_that_the_client_has_mapped_privately_is_refused_until_it_runs_and_not_used_then) {
  Served served;
  TempDir folder;
  const UniqueFd file(::open(folder.path("ram").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(::ftruncate(file.fd(), static_cast<off_t>(kMiB)), 0);
  const auto mapped = [&](int how) {
    void* const address = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, how, file.fd(), 0);
    EXPECT(address != MAP_FAILED);
    return std::shared_ptr<void>(address, [](void* begin) { ::munmap(begin, kMiB); });
  };
  auto memory = mapped(MAP_PRIVATE);
  {
    VfioUserClient client(served.path);
    EXPECT_EQ(client.negotiate(), 0);
    EXPECT_EQ(client.map(0, kMiB, 0, file.fd()), EINVAL);
    memory = mapped(MAP_SHARED);
    EXPECT_EQ(client.map(0, kMiB, 0, file.fd()), 0);
  }
  memory = mapped(MAP_PRIVATE);
  Guest guest(served.path);
  EXPECT_EQ(guest.client.ask(VFIO_USER_DEVICE_GET_INFO, DeviceInfo{.argsz = sizeof(DeviceInfo)}).error(), 0);
  guest.start_queue();
  constexpr uint64_t kFar = uint64_t{1} << 32;
  EXPECT_EQ(guest.client.map(kFar, kMiB, 0, file.fd()), 0);
  const Gpa status = guest.offer_read();
  guest.ring->write_desc(1, {kFar, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2});
  guest.kick();
  EXPECT(wait_until([&] { return guest.ring->used_index() == 1; }));
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(served.guest_errors.count(GuestRule::kMemoryUnreachable), 1u);
}

// COVERS(Q18): a file that is mapped in two ways
TEST(of_a_file_that_is_mapped_in_two_ways_each_piece_is_judged_by_itself) {
  Served served;
  const SharedMemory memory(2 * kMiB);  // mapped whole and shared
  EXPECT(::munmap(memory.data + kMiB, kMiB) == 0);
  EXPECT(::mmap(memory.data + kMiB, kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, memory.fd.fd(), kMiB) !=
         MAP_FAILED);
  VfioUserClient client(served.path);
  EXPECT_EQ(client.negotiate(), 0);
  EXPECT_EQ(client.map(0, kMiB, 0, memory.fd.fd()), 0);
  EXPECT_EQ(client.map(kMiB, kMiB, kMiB, memory.fd.fd()), EINVAL);
  EXPECT_EQ(client.map(kMiB, kMiB, kMiB, memory.fd.fd(), VFIO_DMA_MAP_FLAG_READ), 0);  // a ROM is no RAM
}

// What is said of grants, and that a client cannot say it for ever.
// COVERS(Q18): grants that are said to be out of reach
TEST(grants_that_cannot_be_used_are_logged_each_a_few_times) {
  Served served;
  TempDir folder;
  must(setup_logging({.console = 1, .disk = 2}, folder.path("log")));
  const UniqueFd sealed(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT(::ftruncate(sealed.fd(), static_cast<off_t>(kMiB)) == 0 &&
         ::fcntl(sealed.fd(), F_ADD_SEALS, F_SEAL_WRITE) == 0);
  for (int client_number = 0; client_number < 40; client_number++) {
    VfioUserClient client(served.path);
    EXPECT_EQ(client.negotiate(), 0);
    EXPECT_EQ(client.map(0, kMiB, 0, sealed.fd()), EPERM);
    for (const uint64_t address : {kMiB, 4 * kMiB, 8 * kMiB}) EXPECT_EQ(client.map(address, kMiB, 0, -1), 0);
    EXPECT_EQ(client.map(16 * kMiB, kMiB, 0, -1, VFIO_DMA_MAP_FLAG_READ), 0);
  }
  must(setup_logging({.console = 1}, ""));
  const auto bytes = file_content(folder.path("log"));
  const std::string log(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto lines_with = [&](std::string_view text) {
    size_t count = 0;
    for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) count++;
    return count;
  };
  EXPECT_CONTAINS(log, "memory 0x0..0xfffff is refused: its file cannot be mapped (Operation not permitted)");
  for (const char* piece : {"memory 0x100000..0x1fffff is out of reach", "memory 0x400000..0x4fffff is out of reach",
                            "memory 0x800000..0x8fffff is out of reach"}) {
    EXPECT(lines_with(piece) >= 3 && lines_with(piece) <= 7);
  }
  EXPECT_EQ(lines_with("0x1000000"), 0u);
}

TEST(an_indirect_table_over_several_pieces_of_memory_is_read) {
  Served served;
  Guest guest(served.path);
  EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
  constexpr uint64_t kPiece = 64 * 1024;
  for (uint64_t offset = 0; offset < kMiB; offset += kPiece) {
    EXPECT_EQ(guest.client.map(raw(kBase) + offset, kPiece, offset, guest.memory.fd.fd()), 0);
  }
  guest.start_queue(feature(VIRTIO_RING_F_INDIRECT_DESC));
  // The second entry crosses from one piece into the next.
  const Gpa table{raw(*guest.board.allocate(2 * kPiece, kPiece)) + kPiece - 24};
  const Gpa header = *guest.board.allocate(16, 16), data = *guest.board.allocate(512, 512),
            status = *guest.board.allocate(1, 1);
  const VringDesc entries[] = {{raw(header), 16, VRING_DESC_F_NEXT, 1},
                               {raw(data), 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2},
                               {raw(status), 1, VRING_DESC_F_WRITE, 0}};
  guest.board.ram(header, 16).store(0, VirtioBlkOuthdr{VIRTIO_BLK_T_IN, 0, 0});
  guest.board.ram(status, 1).store(0, uint8_t{0xff});
  guest.board.ram(table, sizeof(entries)).copy_in(0, entries, sizeof(entries));
  guest.ring->write_desc(0, {raw(table), sizeof(entries), VRING_DESC_F_INDIRECT, 0});
  guest.ring->write_avail_index(1);
  guest.kick();
  EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  for (uint64_t i = 0; i < 512; i++) EXPECT(guest.board.ram(data, 512).load<std::byte>(i) == pattern(i));
}

// COVERS(Q18): RAM that the VMM granted and we cannot reach: ring
TEST(a_kick_of_a_queue_whose_ring_went_is_counted) {
  Served served;
  Guest guest(served.path);
  guest.start_queue();
  EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
  guest.kick();
  EXPECT(wait_until([&] { return served.guest_errors.count(GuestRule::kRingNotInRam) == 1; }));
  EXPECT_EQ(guest.client.map(raw(kBase), guest.memory.size, 0, -1), 0);
  guest.kick();
  EXPECT(wait_until([&] { return served.guest_errors.count(GuestRule::kMemoryUnreachable) == 1; }));
  EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
  EXPECT_EQ(guest.client.map(kBase, guest.memory), 0);
  const Gpa status = guest.offer_read();
  guest.kick();
  EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
}

// COVERS(Q18): RAM that the VMM granted and we cannot reach: ring
TEST(a_kick_after_a_refused_ring_tells_of_the_rings_memory) {
  Served served;
  Guest guest(served.path);
  constexpr uint64_t kFar = uint64_t{1} << 32;
  EXPECT_EQ(guest.client.map(kFar, kMiB, 0, -1), 0);
  for (const auto& refused : {std::pair{kFar, GuestRule::kMemoryUnreachable}, {2 * kFar, GuestRule::kRingNotInRam}}) {
    const GuestRule rule = refused.second;
    guest.client.write(VirtioPciLegacy::kRegisterBar, VIRTIO_PCI_QUEUE_PFN, 4, refused.first >> 12);
    EXPECT_EQ(served.guest_errors.count(rule), 1u);
    guest.kick();
    EXPECT(wait_until([&] { return served.guest_errors.count(rule) == 2; }));
  }
  EXPECT_EQ(served.guest_errors.count(GuestRule::kKickBeforeRing), 0u);
}

TEST(an_unmap_is_answered_when_no_request_uses_the_memory) {
  Served served;
  Guest guest(served.path);
  guest.start_queue();
  served.faults->hold();
  const Gpa status = guest.offer_read();
  guest.kick();
  served.faults->wait_for_held(1);
  auto unmapped = std::async(std::launch::async, [&] { return guest.client.unmap(raw(kBase), guest.memory.size); });
  EXPECT(unmapped.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
  EXPECT_EQ(guest.byte(status), 0xffu);
  served.faults->release();
  EXPECT_EQ(unmapped.get(), 0);
  EXPECT_EQ(guest.byte(status), VIRTIO_BLK_S_OK);
}

TEST(a_queue_goes_on_when_its_memory_has_come_back) {
  Served served;
  Guest guest(served.path);
  guest.start_queue();
  for (unsigned round = 0; round < 50; round++) {
    const Gpa before = guest.offer_read();
    guest.kick();
    EXPECT_EQ(guest.client.unmap(raw(kBase), guest.memory.size), 0);
    const Gpa meanwhile = guest.offer_read();
    guest.kick();
    EXPECT_EQ(guest.client.map(kBase, guest.memory), 0);
    EXPECT(
        wait_until([&] { return guest.byte(before) == VIRTIO_BLK_S_OK && guest.byte(meanwhile) == VIRTIO_BLK_S_OK; }));
  }
  EXPECT_EQ(served.guest_errors.count(GuestRule::kKickBeforeRing), 0u);
}

TEST(a_kick_is_answered_while_the_request_is_in_flight) {
  Served served;
  Guest guest(served.path);
  guest.start_queue();
  served.faults->hold();
  const Gpa status = guest.offer_read();
  guest.kick();
  served.faults->wait_for_held(1);
  EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_STATUS, 1), 7u);
  EXPECT_EQ(guest.byte(status), 0xffu);
  served.faults->release();
  EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
}

namespace {

// MSI-X on, vector 1 for queue 0 and 0 for the configuration, as a guest's driver leaves it.
void enable_msix(Guest& guest) {
  guest.client.write(kConfig, 0x42, 2, 0x8000);
  guest.client.write(kRegisters, VIRTIO_MSI_CONFIG_VECTOR, 2, 0);
  guest.client.write(kRegisters, VIRTIO_PCI_QUEUE_SEL, 2, 0);
  guest.client.write(kRegisters, VIRTIO_MSI_QUEUE_VECTOR, 2, 1);
}

}  // namespace

TEST(a_vector_signals_its_own_eventfd) {
  Served served;
  Guest guest(served.path);
  const UniqueFd config = new_eventfd(), queue = new_eventfd();
  const int both[] = {config.fd(), queue.fd()};
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 0, 2, both), 0);
  enable_msix(guest);
  guest.start_queue();
  guest.offer_read();
  guest.kick();
  EXPECT(signalled(queue.fd()));
  EXPECT_EQ(take_signals(config.fd()), 0u);
}

TEST(a_message_before_its_eventfd_comes_with_it) {
  Served served;
  Guest guest(served.path);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 0, 1), 0);  // as QEMU turns MSI-X on
  enable_msix(guest);
  guest.start_queue();
  const Gpa status = guest.offer_read();
  guest.kick();
  EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  const UniqueFd queue = new_eventfd();
  const int fd = queue.fd();
  EXPECT(wait_until([&] {
    return guest.client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 1, 1, {&fd, 1}) == 0 && take_signals(fd) == 1;
  }));
}

TEST(the_guests_own_table_is_kept_by_the_client) {
  Served served;
  Guest guest(served.path);
  const UniqueFd queue = new_eventfd();
  const int fd = queue.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 1, 1, {&fd, 1}), 0);
  enable_msix(guest);
  for (uint64_t word = 0; word < 8; word++) guest.client.write(kTableBar, 4 * word, 4, 0xffff'ffff);
  guest.start_queue();
  guest.offer_read();
  guest.kick();
  EXPECT(signalled(fd));
}

TEST(an_msi_signals_its_eventfd) {
  Served served({.single_msi = true});
  Guest guest(served.path);
  const UniqueFd event = new_eventfd();
  const int fd = event.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_MSI_IRQ_INDEX, kArm, 0, 1, {&fd, 1}), 0);
  guest.client.write(kConfig, 0x44, 4, 0xfee0'1000);
  guest.client.write(kConfig, 0x4c, 2, 0x4321);
  guest.client.write(kConfig, 0x42, 2, guest.client.read(kConfig, 0x42, 2) | 1);
  guest.start_queue();
  guest.offer_read();
  guest.kick();
  EXPECT(signalled(fd));
}

TEST(the_line_signals_once_for_an_assertion_and_again_when_unmasked) {
  Served served;
  Guest guest(served.path);
  const UniqueFd line = new_eventfd();
  const int fd = line.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, {&fd, 1}), 0);
  guest.start_queue();
  for (unsigned i = 0; i < 3; i++) {  // the line stays up
    const Gpa status = guest.offer_read();
    guest.kick();
    EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  }
  EXPECT(signalled(fd));
  EXPECT_EQ(take_signals(fd), 0u);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kUnmask, 0, 1), 0);
  EXPECT(signalled(fd));  // nobody has read the ISR
  EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_ISR, 1), 1u);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kUnmask, 0, 1), 0);
  EXPECT_EQ(take_signals(fd), 0u);
}

TEST(a_masked_line_waits) {
  Served served;
  Guest guest(served.path);
  const UniqueFd line = new_eventfd();
  const int fd = line.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, {&fd, 1}), 0);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kMask, 0, 1), 0);
  guest.start_queue();
  const Gpa status = guest.offer_read();
  guest.kick();
  EXPECT(wait_until(
      [&] { return guest.byte(status) == VIRTIO_BLK_S_OK && (guest.client.read(kConfig, 0x06, 2) & 8) != 0; }));
  EXPECT_EQ(take_signals(fd), 0u);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kUnmask, 0, 1), 0);
  EXPECT(signalled(fd));
}

TEST(the_line_is_unmasked_by_an_eventfd_too) {
  Served served;
  Guest guest(served.path);
  const UniqueFd line = new_eventfd(), unmask = new_eventfd();
  const int fd = line.fd(), unmask_fd = unmask.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, {&fd, 1}), 0);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1,
                                  {&unmask_fd, 1}),
            0);
  guest.start_queue();
  guest.offer_read();
  guest.kick();
  for (unsigned i = 0; i < 5; i++) {
    EXPECT(signalled(fd));
    const uint64_t one = 1;
    EXPECT(::write(unmask_fd, &one, sizeof(one)) == sizeof(one));
  }
}

TEST(a_disabled_interrupt_is_silent) {
  Served served;
  Guest guest(served.path);
  const UniqueFd line = new_eventfd();
  const int fd = line.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kArm, 0, 1, {&fd, 1}), 0);
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_INTX_IRQ_INDEX, kDisable, 0, 0), 0);
  guest.start_queue();
  const Gpa status = guest.offer_read();
  guest.kick();
  EXPECT(wait_until(
      [&] { return guest.byte(status) == VIRTIO_BLK_S_OK && (guest.client.read(kConfig, 0x06, 2) & 8) != 0; }));
  EXPECT_EQ(take_signals(fd), 0u);
}

TEST(a_client_may_trigger_an_interrupt_itself) {
  Served served;
  Guest guest(served.path);
  const UniqueFd first = new_eventfd(), second = new_eventfd();
  const int both[] = {first.fd(), second.fd()};
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 0, 2, both), 0);
  auto request = VfioUserClient::bytes_of(
      IrqSet{sizeof(IrqSet) + 2, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2});
  request.push_back(0);
  request.push_back(1);
  EXPECT_EQ(guest.client.ask(VFIO_USER_DEVICE_SET_IRQS, std::span<const uint8_t>(request)).error(), 0);
  EXPECT_EQ(take_signals(first.fd()), 0u);
  EXPECT_EQ(take_signals(second.fd()), 1u);
}

TEST(a_reset_is_that_of_a_power_cycle_and_keeps_the_eventfds) {
  Served served;
  Guest guest(served.path);
  const UniqueFd queue = new_eventfd();
  const int fd = queue.fd();
  EXPECT_EQ(guest.client.set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, kArm, 1, 1, {&fd, 1}), 0);
  for (unsigned round = 0; round < 2; round++) {
    enable_msix(guest);
    guest.start_queue();
    guest.offered = 0;
    guest.offer_read();
    guest.kick();
    EXPECT(signalled(fd));
    EXPECT_EQ(guest.client.reset(), 0);
    EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_STATUS, 1), 0u);
    EXPECT_EQ(guest.client.read(kConfig, 0x04, 2), 0u);
    EXPECT_EQ(guest.client.read(kConfig, 0x42, 2) & 0x8000, 0u);
  }
}

TEST(the_next_client_finds_the_function_as_at_power_on) {
  Served served;
  for (unsigned round = 0; round < 20; round++) {
    Guest guest(served.path);
    EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_STATUS, 1), 0u);
    EXPECT_EQ(guest.client.read(kRegisters, VIRTIO_PCI_QUEUE_PFN, 4), 0u);
    guest.start_queue();
    const Gpa status = guest.offer_read();
    guest.kick();
    if (round % 2 == 0) EXPECT(wait_until([&] { return guest.byte(status) == VIRTIO_BLK_S_OK; }));
  }
}

TEST(the_socket_is_its_owners_and_goes_with_the_server) {
  Served served;
  struct stat place;
  EXPECT(::stat(served.path.c_str(), &place) == 0 && S_ISSOCK(place.st_mode));
  EXPECT_EQ(place.st_mode & 0777, 0600u);
  served.server->stop();
  EXPECT(::stat(served.path.c_str(), &place) != 0);
}

}  // namespace acrn
