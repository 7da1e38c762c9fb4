// Reset, teardown, and a disk that comes later or changes its size, with requests in flight (device.md 8;
// rows Q14, Q15).
#include <filesystem>

#include "dm/registry.h"
#include "tests/support/bench_disk.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// 64 requests offered and kicked, on a ring of 64.
std::vector<ReadyRequest> start_64(RawGuest& guest, uint32_t type, uint8_t fill = 0x5a) {
  std::vector<ReadyRequest> all;
  for (uint16_t head = 0; head < 64; head++) {
    all.push_back(ready_request(guest, head, type, head * 8u, 4096, fill));
    guest.offer(head);
  }
  guest.kick();
  return all;
}

// After a reset the memory of old requests is the guest's again: it puts something else there at once.
void reuse_memory(RawGuest& guest, std::vector<ReadyRequest>& old) {
  for (ReadyRequest& ready : old) {
    ready.data.refill(0x11);
    guest.at(ready.status, 1).store(0, uint8_t{0x22});
  }
}

void expect_still_reused(RawGuest& guest, const std::vector<ReadyRequest>& old) {
  for (const ReadyRequest& ready : old) {
    EXPECT(ready.data.untouched());
    EXPECT_EQ(guest.byte(ready.status), 0x22);
  }
}

void zero_ring(RawGuest& guest, Gpa ring) {
  const auto bytes = filled(ring_layout(64).total_bytes, 0);
  guest.at(ring, bytes.size()).copy_in(0, bytes.data(), bytes.size());
}

TEST(reset_waits_for_64_requests_in_flight_and_none_of_them_touches_the_guest_later) {
  for (const uint32_t type : {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT}) {
    BenchDisk bench;
    RawGuest guest = bench.guest();
    bench.faults().hold();
    auto old = start_64(guest, type);
    bench.faults().wait_for_held(64);
    const Gpa old_ring = guest.ring().base();
    expect_waits_for_release(bench.faults(), [&] { guest.function().out(VIRTIO_PCI_STATUS, 1, 0); });
    reuse_memory(guest, old);
    zero_ring(guest, old_ring);
    expect_serves_after_restart(guest);
    bench.settle();
    expect_still_reused(guest, old);
    EXPECT_EQ(guest.at(old_ring, 4096 * 2).load<uint16_t>(ring_layout(64).used + kRingIndex), 0);
  }
}

TEST(registers_are_read_while_a_reset_waits) {
  BenchDisk bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  start_64(guest, VIRTIO_BLK_T_IN);
  bench.faults().wait_for_held(64);
  uint32_t number = 0;
  expect_waits_for_release(
      bench.faults(), [&] { guest.function().out(VIRTIO_PCI_STATUS, 1, 0); },
      [&] {
        number = guest.function().in(VIRTIO_PCI_QUEUE_NUM, 2);
        for (int i = 0; i < 100; i++) guest.kick();
        MUST(bench.device().resize());
      });
  EXPECT_EQ(number, 64u);
  expect_serves_after_restart(guest);
}

TEST(the_same_ring_may_be_set_up_again_right_after_a_reset) {
  TempDir directory;
  write_pattern(directory.path("disk"), 4 * kMiB);
  BenchDisk bench({.backend = open_backend({.source = FilePath{directory.path("disk")}, .writeback = true})});
  RawGuest guest = bench.guest();
  for (int round = 0; round < 30; round++) {
    auto old = start_64(guest, VIRTIO_BLK_T_IN);
    const uint32_t pfn = guest.ring().pfn();
    guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
    reuse_memory(guest, old);
    zero_ring(guest, guest.ring().base());
    guest.function().out(VIRTIO_PCI_QUEUE_PFN, 4, pfn);
    guest.function().out(VIRTIO_PCI_STATUS, 1, 7);
    bench.settle();
    EXPECT_EQ(guest.ring().used_index(), 0);
    expect_still_reused(guest, old);
    expect_serves_after_restart(guest);
  }
}

TEST(destroying_a_function_with_64_requests_held_waits_for_them) {
  BenchDisk bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  auto old = start_64(guest, VIRTIO_BLK_T_IN);
  bench.faults().wait_for_held(64);
  expect_waits_for_release(bench.faults(), [&] { bench.destroy_function(); });
  EXPECT_EQ(guest.ring().used_index(), 64);
  for (uint16_t i = 0; i < 64; i++) EXPECT(old[i].data.holds_disk(i * 4096u));
}

TEST(destroying_a_function_with_64_writes_in_flight_keeps_the_data_of_those_that_completed) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  BenchDisk bench({.backend = open_backend({.source = FilePath{path}})});
  RawGuest guest = bench.guest();
  const auto writes = start_64(guest, VIRTIO_BLK_T_OUT, 0xab);
  bench.destroy_function();
  const auto content = file_content(path);
  const uint16_t done = guest.ring().used_index();
  for (uint16_t slot = 0; slot < done; slot++) {
    const uint32_t head = guest.ring().used(slot).id;
    EXPECT_EQ(guest.byte(writes[head].status), VIRTIO_BLK_S_OK);
    for (size_t i = 0; i < 4096; i++) EXPECT_EQ(content[head * 4096u + i], std::byte{0xab});
  }
}

TEST(a_function_that_no_driver_ever_touched_ends_cleanly) {
  BenchDisk without_driver;
  BenchDisk without_disk({.attached = false});
  BenchDisk kicked;
  RawGuest guest = kicked.guest();
  for (int i = 0; i < 1000; i++) guest.kick();
}

TEST(a_disk_that_comes_later_is_announced_and_served) {
  for (const InterruptMode mode : {InterruptMode::kMsix, InterruptMode::kIntx}) {
    BenchDisk bench({.attached = false});
    RawGuest guest = bench.guest(kNoEventIndex, mode);
    std::vector<std::byte> data(kSector);
    EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 0, data)->status, VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(guest.capacity(), 0u);
    bench.attach(std::make_unique<MemoryDisk>(BlockInfo{.size = 2 * kMiB, .physical_block = 4096}));
    if (mode == InterruptMode::kIntx) {
      EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 2u);
    } else {
      EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 0u);
    }
    EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
    EXPECT_EQ(guest.config(24, 1), 3u);
    expect_serves(guest);
    const auto again = bench.device().attach(std::make_unique<MemoryDisk>(BlockInfo{.size = kMiB}), "other");
    EXPECT(!again.ok());
    EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
    expect_serves(guest);
  }
}

TEST(a_disk_may_come_while_requests_are_refused) {
  BenchDisk bench({.attached = false});
  RawGuest guest = bench.guest();
  std::thread operator_thread([&] { bench.attach(std::make_unique<MemoryDisk>(BlockInfo{.size = kMiB})); });
  std::vector<std::byte> data(kSector);
  bool answered = true;
  for (int i = 0; i < 200 && answered; i++) answered = guest.request(VIRTIO_BLK_T_IN, 0, data).has_value();
  operator_thread.join();
  EXPECT(answered);
  expect_serves(guest);
}

TEST(a_grown_file_is_announced_and_served_to_its_new_end) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  BenchDisk bench({.backend = open_backend({.source = FilePath{path}})});
  RawGuest guest = bench.guest(kNoEventIndex, InterruptMode::kIntx);
  auto data = filled(kSector, 0x33);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, kMiB / kSector, data)->status, VIRTIO_BLK_S_IOERR);
  std::filesystem::resize_file(path, 2 * kMiB);
  EXPECT_EQ(MUST(bench.device().resize()), 2 * kMiB);
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 2u);
  EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 2 * kMiB / kSector - 1, data)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(file_content(path).back(), std::byte{0x33});
  std::filesystem::resize_file(path, kMiB / 2);
  EXPECT_EQ(MUST(bench.device().resize()), kMiB / 2);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, kMiB / kSector, data)->status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(bench.mistakes(GuestRule::kSectorPastEnd), 2u);
  expect_serves(guest);
}

TEST(resize_without_a_disk_is_refused) {
  BenchDisk bench({.attached = false});
  EXPECT(!bench.device().resize().ok());
}

// As the command line and the control socket compose it.
struct Configured {
  std::unique_ptr<LoopbackMachine> machine = MUST(LoopbackMachine::create(64 * kMiB));
  std::unique_ptr<EpollLoop> loop = MUST(EpollLoop::create("shared", {}));
  PciSlotConfig slot;
  std::unique_ptr<ConfiguredFunction> function;

  explicit Configured(const std::string& text) : slot(MUST(parse_slot(text))) {
    const MachineServices services{.memory = machine->memory(), .msi = machine->msi(), .shared_loop = *loop};
    function = MUST(create_function(slot, services, machine->pin(slot.address)));
    machine->bus().attach(slot.address, function->function());
  }
  BlockOptions options(const std::string& config) { return *MUST(parse_slot("9,virtio-blk," + config)).block; }
};

TEST(a_nodisk_slot_gets_its_file_by_rescan_once) {
  TempDir directory;
  const std::string path = directory.file("disk", kMiB);
  Configured configured("9,virtio-blk,nodisk,mq=2,iothread");
  RawGuest guest = MUST(RawGuest::start(*configured.machine, configured.slot.address, kNoEventIndex));
  EXPECT_EQ(guest.capacity(), 0u);
  EXPECT(!configured.function->rescan(configured.options(path + ",mq=2,ro")).ok());
  EXPECT(!configured.function->rescan(configured.options(path)).ok());
  EXPECT(!configured.function->rescan(configured.options(directory.path("missing") + ",mq=2")).ok());
  EXPECT_EQ(guest.capacity(), 0u);
  MUST(configured.function->rescan(configured.options(path + ",mq=2,serial=later")));
  EXPECT_EQ(guest.capacity(), kMiB / kSector);
  expect_serves(guest);
  std::vector<std::byte> id(VIRTIO_BLK_ID_BYTES);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_GET_ID, 0, id)->status, VIRTIO_BLK_S_OK);
  EXPECT(std::string(reinterpret_cast<const char*>(id.data())) == "later");
  EXPECT(!configured.function->rescan(configured.options(directory.file("other", kMiB) + ",mq=2")).ok());
  std::filesystem::resize_file(path, 2 * kMiB);
  EXPECT_EQ(MUST(configured.function->resize()), 2 * kMiB);
  EXPECT_EQ(guest.capacity(), 2 * kMiB / kSector);
  expect_serves(guest);
}

TEST(a_bridge_is_no_disk) {
  Configured configured("0,hostbridge");
  EXPECT(!configured.function->resize().ok());
  EXPECT(!configured.function->rescan(configured.options("ram:1048576")).ok());
  EXPECT(configured.function->mistakes() == nullptr);
  EXPECT(!RawGuest::start(*configured.machine, configured.slot.address).ok());
}

}  // namespace
}  // namespace acrn
