// Reset and teardown with requests in flight (rows Q14, Q15).
// COVERS(reg.reset)
#include "tests/support/device_fixture.h"
#include "tests/support/few_descriptors.h"
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

TEST(a_device_that_cannot_have_its_doorbells_is_an_error) {
#ifdef __SANITIZE_ADDRESS__
  SKIP("a sanitizer that needs no descriptors itself: UBSan's look at an object opens a pipe");
#endif
  DeviceFixture bench;
  auto loop = must(EpollLoop::create("few", {}));
  for (unsigned more = 0; more < 4; more++) {  // two queues with a doorbell and an alarm each
    FewDescriptors few(more);
    GuestErrors guest_errors("few");
    EXPECT(!VirtioBlk::create({.queues = 2}, bench.machine().memory(), guest_errors, {loop.get()}).ok());
  }
  RawGuest guest = bench.guest();
  expect_serves(guest);
}

// COVERS(Q14): reset with 64 in flight, set up again at once
TEST(reset_waits_for_64_requests_in_flight_and_none_of_them_touches_the_guest_later) {
  for (const uint32_t type : {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT}) {
    DeviceFixture bench;
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
  DeviceFixture bench;
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
        must(bench.device().resize());
      });
  EXPECT_EQ(number, 64u);
  expect_serves_after_restart(guest);
}

// COVERS(Q14): reset with 64 in flight, set up again at once
TEST(the_same_ring_may_be_set_up_again_right_after_a_reset) {
  TempDir directory;
  write_pattern(directory.path("disk"), 4 * kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{directory.path("disk")}, .writeback = true})});
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

// COVERS(Q15): destruction with 64 in flight
TEST(destroying_a_function_with_64_requests_held_waits_for_them) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold();
  auto old = start_64(guest, VIRTIO_BLK_T_IN);
  bench.faults().wait_for_held(64);
  expect_waits_for_release(bench.faults(), [&] { bench.destroy_function(); });
  EXPECT_EQ(guest.ring().used_index(), 64);
  for (uint16_t i = 0; i < 64; i++) EXPECT(old[i].data.holds_disk(i * 4096u));
}

// COVERS(Q15): destruction with 64 in flight
TEST(destroying_a_function_with_64_writes_in_flight_keeps_the_data_of_those_that_completed) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}})});
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

// As when a server is started again and its front end stops the queue at once.
TEST(what_an_earlier_device_has_taken_is_carried_out_before_a_queue_stops) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.device().stop_queue(0);
  const auto requests = start_64(guest, VIRTIO_BLK_T_IN);
  std::vector<uint16_t> heads;
  for (uint16_t head = 0; head < 64; head++) heads.push_back(head);
  EXPECT(bench.device().start_queue(
      0, {.ring = legacy_ring(guest.ring().base(), 64), .size = 64, .next_avail = 64, .taken = heads}));
  EXPECT_EQ(bench.device().stop_queue(0), 64u);
  EXPECT_EQ(guest.ring().used_index(), 64);
  for (uint16_t i = 0; i < 64; i++) {
    EXPECT_EQ(guest.byte(requests[i].status), VIRTIO_BLK_S_OK);
    EXPECT(requests[i].data.holds_disk(i * 4096u));
  }
}

TEST(a_function_that_no_driver_touched_or_that_was_only_kicked_ends_cleanly) {
  DeviceFixture without_driver;
  DeviceFixture without_disk({.attached = false});
  DeviceFixture kicked;
  RawGuest guest = kicked.guest();
  for (int i = 0; i < 1000; i++) guest.kick();
}

}  // namespace
}  // namespace acrn
