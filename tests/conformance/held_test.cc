// Requests that are held: failed ones, where the error policy says so, and those that a limit keeps waiting. Nothing
// that a guest was told is lost, and no driver has to wait for them when it takes its ring back.
// COVERS(include/acrn/block/block_options.h): a request that failed is held as werror and rerror say
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "dm/block/filters/throttle.h"
#include "dm/block/sources/ram_disk.h"
#include "tests/support/device_fixture.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

class HeldCount final : public DeviceEvents {
 public:
  void tell(const DeviceEvent& event) override {
    if (event.kind != DeviceEvent::Kind::kRequestHeld) return;
    error_ = event.value;
    count_++;
  }
  bool wait_for(unsigned count) {
    return wait_until([&] { return count_ >= count; });
  }
  unsigned count() const { return count_; }
  uint64_t error() const { return error_; }

 private:
  std::atomic<unsigned> count_{0};
  std::atomic<uint64_t> error_{0};
};

VirtioBlkOptions stops(HeldCount& held) {
  return {.write_errors = ErrorPolicy::kStop, .read_errors = ErrorPolicy::kStop, .events = &held};
}

ReadyRequest offer(RawGuest& guest, uint16_t head, uint32_t type, uint64_t sector, uint8_t fill) {
  ReadyRequest request = ready_request(guest, head, type, sector, kSector, fill);
  guest.offer(head);
  return request;
}

}  // namespace

TEST(a_held_write_is_carried_out_when_it_is_tried_again) {
  HeldCount held;
  DeviceFixture bench({.device = stops(held)});
  RawGuest guest = bench.guest();
  bench.faults().fail_range(BlockOp::kWrite, 0, kMiB, ENOSPC);
  const ReadyRequest write = offer(guest, 0, VIRTIO_BLK_T_OUT, 3, 0x77);
  guest.kick();
  EXPECT(held.wait_for(1));
  EXPECT_EQ(held.error(), uint64_t{ENOSPC});
  // Others go on.
  const ReadyRequest read = offer(guest, 10, VIRTIO_BLK_T_IN, 9, 0);
  guest.kick();
  EXPECT_EQ(uint32_t{reap(guest, 1)[0].id}, 10u);
  EXPECT_EQ(guest.byte(write.status), RawGuest::kNoStatus);
  // As long as the reason is there it is held again.
  bench.device().retry_held();
  EXPECT(held.wait_for(2));
  EXPECT_EQ(guest.byte(write.status), RawGuest::kNoStatus);
  bench.faults().clear();
  bench.device().retry_held();
  EXPECT_EQ(uint32_t{reap(guest, 1)[0].id}, 0u);
  EXPECT_EQ(guest.byte(write.status), VIRTIO_BLK_S_OK);
  EXPECT(bench.disk().content()[3 * kSector] == std::byte{0x77});
  EXPECT_EQ(guest.byte(read.status), VIRTIO_BLK_S_OK);
  // It was one request, whatever became of it.
  EXPECT_EQ(bench.device().stats(0).requests[static_cast<size_t>(DiskRequestKind::kWrite)], 1u);
  expect_serves(guest);
}

TEST(what_is_held_is_what_the_policy_names) {
  struct Case {
    ErrorPolicy writes, reads;
    BlockOp op;
    int error;
    bool held;
  };
  for (const Case& each : {Case{ErrorPolicy::kReport, ErrorPolicy::kReport, BlockOp::kWrite, ENOSPC, false},
                           Case{ErrorPolicy::kReport, ErrorPolicy::kReport, BlockOp::kRead, EIO, false},
                           Case{ErrorPolicy::kEnospc, ErrorPolicy::kReport, BlockOp::kWrite, ENOSPC, true},
                           Case{ErrorPolicy::kEnospc, ErrorPolicy::kReport, BlockOp::kWrite, EDQUOT, true},
                           Case{ErrorPolicy::kEnospc, ErrorPolicy::kReport, BlockOp::kWrite, EIO, false},
                           Case{ErrorPolicy::kEnospc, ErrorPolicy::kReport, BlockOp::kFlush, ENOSPC, true},
                           Case{ErrorPolicy::kEnospc, ErrorPolicy::kReport, BlockOp::kRead, ENOSPC, false},
                           Case{ErrorPolicy::kStop, ErrorPolicy::kReport, BlockOp::kWrite, EIO, true},
                           Case{ErrorPolicy::kStop, ErrorPolicy::kReport, BlockOp::kFlush, EIO, true},
                           Case{ErrorPolicy::kStop, ErrorPolicy::kReport, BlockOp::kRead, EIO, false},
                           Case{ErrorPolicy::kReport, ErrorPolicy::kStop, BlockOp::kRead, EIO, true},
                           // Nobody cancels here: an errno like any other.
                           Case{ErrorPolicy::kReport, ErrorPolicy::kReport, BlockOp::kWrite, ECANCELED, false}}) {
    HeldCount held;
    DeviceFixture bench({.device = {.write_errors = each.writes, .read_errors = each.reads, .events = &held}});
    RawGuest guest = bench.guest();
    bench.faults().fail_nth(each.op, 1, each.error);
    const uint32_t type = each.op == BlockOp::kFlush  ? VIRTIO_BLK_T_FLUSH
                          : each.op == BlockOp::kRead ? VIRTIO_BLK_T_IN
                                                      : VIRTIO_BLK_T_OUT;
    const ReadyRequest request = offer(guest, 0, type, 0, 0x11);
    guest.kick();
    if (each.held) {
      EXPECT(held.wait_for(1));
      bench.device().retry_held();
    }
    reap(guest, 1);
    EXPECT_EQ(guest.byte(request.status), each.held ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(held.count(), each.held ? 1u : 0u);
  }
}

TEST(a_list_of_segments_that_failed_in_its_middle_is_carried_out_from_its_start) {
  HeldCount held;
  VirtioBlkOptions options = stops(held);
  options.discard = true;
  DeviceFixture bench({.device = options});
  RawGuest guest = bench.guest();
  bench.faults().fail_nth(BlockOp::kWriteZeroes, 2, EIO);
  const VirtioBlkDiscardWriteZeroes list[] = {{0, 8, 0}, {8, 8, 0}, {16, 8, 0}};
  std::thread operator_thread([&] {
    held.wait_for(1);
    bench.device().retry_held();
  });
  const auto outcome = guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, list);
  operator_thread.join();
  EXPECT_EQ(outcome->status, VIRTIO_BLK_S_OK);
  const auto content = bench.disk().content();
  EXPECT(std::all_of(content.begin(), content.begin() + 24 * kSector, [](std::byte b) { return b == std::byte{0}; }));
}

TEST(a_reset_ends_what_is_held) {
  HeldCount held;
  DeviceFixture bench({.device = stops(held)});
  RawGuest guest = bench.guest();
  bench.faults().fail_range(BlockOp::kWrite, 0, kMiB, EIO);
  for (uint16_t head = 0; head < 64; head++) offer(guest, head, VIRTIO_BLK_T_OUT, head, 0x22);
  guest.kick();
  EXPECT(held.wait_for(64));
  bench.faults().clear();
  expect_serves_after_restart(guest);
  bench.device().retry_held();
  EXPECT(bench.disk().untouched(8 * kSector, 64 * kSector));
}

TEST(a_device_ends_with_requests_held) {
  HeldCount held;
  DeviceFixture bench({.device = stops(held)});
  RawGuest guest = bench.guest();
  bench.faults().fail_range(BlockOp::kWrite, 0, kMiB, EIO);
  offer(guest, 0, VIRTIO_BLK_T_OUT, 0, 0x22);
  guest.kick();
  EXPECT(held.wait_for(1));
}

TEST(a_pause_of_the_queues_does_not_wait_for_what_is_held_and_its_end_tries_again) {
  HeldCount held;
  DeviceFixture bench({.device = stops(held)});
  RawGuest guest = bench.guest();
  bench.faults().fail_nth(BlockOp::kWrite, 1, EIO);
  const ReadyRequest write = offer(guest, 0, VIRTIO_BLK_T_OUT, 3, 0x77);
  guest.kick();
  EXPECT(held.wait_for(1));
  bench.device().suspend();
  bench.device().retry_held();  // not now
  EXPECT_EQ(guest.byte(write.status), RawGuest::kNoStatus);
  bench.device().resume();
  reap(guest, 1);
  EXPECT_EQ(guest.byte(write.status), VIRTIO_BLK_S_OK);
}

TEST(a_request_that_its_driver_has_spoiled_meanwhile_is_read_anew) {
  HeldCount held;
  DeviceFixture bench({.device = stops(held)});
  RawGuest guest = bench.guest();
  bench.faults().fail_nth(BlockOp::kWrite, 1, EIO);
  offer(guest, 0, VIRTIO_BLK_T_OUT, 3, 0x77);
  guest.kick();
  EXPECT(held.wait_for(1));
  guest.set(0, Gpa{~uint64_t{0}}, 0xffffffff, 0);
  bench.device().retry_held();
  expect_serves_after_restart(guest);
  EXPECT(bench.disk().untouched(3 * kSector, 4 * kSector));
}

// COVERS(include/acrn/block/block_options.h): a request that is not done within io_timeout is told of
TEST(a_request_that_the_disk_does_not_carry_out_is_told_of_and_carried_out_all_the_same) {
  class OverdueCount final : public DeviceEvents {
   public:
    void tell(const DeviceEvent& event) override {
      if (event.kind == DeviceEvent::Kind::kRequestOverdue) count++;
    }
    std::atomic<unsigned> count{0};
  } overdue;
  DeviceFixture bench({.device = {.io_timeout = std::chrono::milliseconds(20), .events = &overdue}});
  RawGuest guest = bench.guest();
  bench.faults().hold();
  const ReadyRequest write = offer(guest, 0, VIRTIO_BLK_T_OUT, 3, 0x77);
  guest.kick();
  EXPECT(wait_until([&] { return overdue.count != 0; }));
  EXPECT_EQ(guest.byte(write.status), RawGuest::kNoStatus);
  bench.faults().release();
  reap(guest, 1);
  EXPECT_EQ(guest.byte(write.status), VIRTIO_BLK_S_OK);
  expect_serves(guest);
  EXPECT_EQ(overdue.count, 1u);
  EXPECT_EQ(bench.device().stats(0).overdue, 1u);
}

TEST(a_request_that_is_tried_again_may_be_overdue_again) {
  HeldCount held;
  VirtioBlkOptions options = stops(held);
  options.io_timeout = std::chrono::milliseconds(20);
  DeviceFixture bench({.device = options});
  RawGuest guest = bench.guest();
  const auto wait_for_overdue = [&](uint64_t count) {
    return wait_until([&] { return bench.device().stats(0).overdue == count; });
  };
  bench.faults().hold();
  bench.faults().fail_range(BlockOp::kWrite, 0, kMiB, ENOSPC);
  const ReadyRequest write = offer(guest, 0, VIRTIO_BLK_T_OUT, 3, 0x77);
  guest.kick();
  EXPECT(wait_for_overdue(1));
  bench.faults().release();
  EXPECT(held.wait_for(1));
  bench.faults().clear();
  bench.faults().hold();
  bench.device().retry_held();
  EXPECT(wait_for_overdue(2));
  bench.faults().release();
  reap(guest, 1);
  EXPECT_EQ(guest.byte(write.status), VIRTIO_BLK_S_OK);
}

// A disk that lets one write pass, and then none for minutes.
struct SlowDisk {
  static DiskLimits limits() {
    DiskLimits limits;
    limits[LimitKind::kBytesWritten] = {1, 0};
    return limits;
  }
  ThrottledDisk throttled{std::make_shared<ThrottleGroup>(limits())};
  DeviceFixture bench{{.backend = make_filter_throttle(must(make_ram_disk({.size = kMiB})), throttled)}};
};

TEST(a_reset_does_not_wait_for_a_limit) {
  SlowDisk slow;
  RawGuest guest = slow.bench.guest();
  for (uint16_t head = 0; head < 64; head++) offer(guest, head, VIRTIO_BLK_T_OUT, head, 0x22);
  guest.kick();
  EXPECT(wait_until([&] { return slow.throttled.delayed() != 0; }));
  must(guest.restart(kNoEventIndex));
  slow.throttled.group().set({});
  expect_serves(guest);
}

// As when a VMM pauses its guest.
TEST(a_queue_that_is_stopped_carries_out_what_waits_for_a_limit) {
  DiskLimits limits;
  limits[LimitKind::kWrites] = {5, 0};
  ThrottledDisk throttled{std::make_shared<ThrottleGroup>(limits)};
  DeviceFixture bench{{.backend = make_filter_throttle(must(make_ram_disk({.size = kMiB})), throttled)}};
  RawGuest guest = bench.guest();
  std::vector<ReadyRequest> requests;
  for (uint16_t head = 0; head < 64; head++) requests.push_back(offer(guest, head, VIRTIO_BLK_T_OUT, head, 0x22));
  guest.kick();
  EXPECT(wait_until([&] { return throttled.delayed() != 0; }));
  const unsigned taken = bench.device().stop_queue(0);  // what a slow kick has left in the ring stays there
  EXPECT(taken > 1);
  for (unsigned i = 0; i < taken; i++) EXPECT_EQ(guest.byte(requests[i].status), VIRTIO_BLK_S_OK);
}

TEST(what_waits_for_a_limit_is_carried_out_after_a_pause_of_the_queues) {
  SlowDisk slow;
  RawGuest guest = slow.bench.guest();
  std::vector<ReadyRequest> requests;
  for (uint16_t head = 0; head < 64; head++) requests.push_back(offer(guest, head, VIRTIO_BLK_T_OUT, head, 0x22));
  guest.kick();
  EXPECT(wait_until([&] { return slow.throttled.delayed() != 0; }));
  slow.bench.device().suspend();
  slow.throttled.group().set({});
  slow.bench.device().resume();
  reap(guest, 64);
  for (const ReadyRequest& request : requests) EXPECT_EQ(guest.byte(request.status), VIRTIO_BLK_S_OK);
}

TEST(a_limit_that_is_lifted_lets_pass_what_waits) {
  SlowDisk slow;
  RawGuest guest = slow.bench.guest();
  for (uint16_t head = 0; head < 64; head++) offer(guest, head, VIRTIO_BLK_T_OUT, head, 0x22);
  guest.kick();
  EXPECT(wait_until([&] { return slow.throttled.delayed() != 0; }));
  slow.throttled.group().set({});
  reap(guest, 64);
  expect_serves(guest);
}

}  // namespace acrn
