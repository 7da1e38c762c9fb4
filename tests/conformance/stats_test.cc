// What an operator can ask of a running disk: its counts, and to make stable what was written.
#include <map>
#include <numeric>
#include <thread>

#include "dm/base/log_setup.h"
#include "dm/cli/option_table.h"
#include "dm/devices/device_table.h"
#include "tests/support/device_fixture.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

uint64_t requests(const QueueStats& stats, DiskRequestKind kind) { return stats.requests[static_cast<size_t>(kind)]; }
template <class Counts>
uint64_t sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

// COVERS(include/acrn/block/disk_stats.h): requests are counted by kind, bytes and result
TEST(requests_are_counted_by_kind_bytes_and_result) {
  DeviceFixture bench({.device = {.discard = true}});
  RawGuest guest = bench.guest();
  std::vector<std::byte> data(4 * kSector), id(20);
  for (int i = 0; i < 3; i++) EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 0, data)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 0, std::span(data).first(kSector))->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 1 << 30, data)->status, VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_GET_ID, 0, id)->status, VIRTIO_BLK_S_OK);
  const VirtioBlkDiscardWriteZeroes segment[] = {{0, 8, 0}, {8, 8, 0}};
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_DISCARD, segment)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, segment)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.request(77, 0, {})->status, VIRTIO_BLK_S_UNSUPP);
  const RawGuest::Piece no_header[] = {{guest.status(), 1, true}};
  EXPECT_EQ(guest.run(no_header)->len, 1u);

  bench.settle();
  const QueueStats stats = bench.device().stats(0);
  EXPECT_EQ(requests(stats, DiskRequestKind::kRead), 4u);
  EXPECT_EQ(requests(stats, DiskRequestKind::kWrite), 1u);
  EXPECT_EQ(requests(stats, DiskRequestKind::kFlush), 1u);
  EXPECT_EQ(requests(stats, DiskRequestKind::kDiscard), 1u);
  EXPECT_EQ(requests(stats, DiskRequestKind::kWriteZeroes), 1u);
  EXPECT_EQ(requests(stats, DiskRequestKind::kGetId), 1u);
  EXPECT_EQ(requests(stats, DiskRequestKind::kOther), 2u);
  EXPECT_EQ(stats.bytes_read, 3 * 4 * kSector);
  EXPECT_EQ(stats.bytes_written, uint64_t{kSector});
  EXPECT_EQ(stats.io_errors, 2u);
  EXPECT_EQ(stats.unsupported, 1u);
  EXPECT_EQ(stats.stops, 0u);
  EXPECT_EQ(sum(stats.requests), 11u);
  for (const auto stage : {LatencyStage::kRing, LatencyStage::kEngine, LatencyStage::kAll}) {
    EXPECT_EQ(stats.latency_of(stage).count(), 11u);
    for (size_t kind = 0; kind < stats.requests.size(); kind++) {
      EXPECT_EQ(stats.latency_of(kind, stage).count(), stats.requests[kind]);
    }
  }
  EXPECT_EQ(stats.latency_of(LatencyStage::kAll).nanoseconds,
            stats.latency_of(LatencyStage::kRing).nanoseconds + stats.latency_of(LatencyStage::kEngine).nanoseconds);
  EXPECT_EQ(stats.in_flight, 0u);
  // A request that comes while the queue still looks for more needs no kick of its own, nor has each its interrupt.
  EXPECT(stats.kicks >= 1 && stats.kicks <= 12);
  EXPECT_EQ(stats.polls, 0u);
  EXPECT(stats.interrupts >= 1 && stats.interrupts <= 12);
}

TEST(a_queue_that_has_stopped_says_so_until_it_is_reset) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (uint64_t stops = 1; stops <= 3; stops++) {
    const RawGuest::Piece no_status[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false}};
    guest.chain(0, no_status);
    guest.offer(0);
    guest.kick();
    EXPECT(wait_until([&] { return bench.device().stats(0).stopped; }));
    guest.kick();
    bench.settle();
    EXPECT_EQ(bench.device().stats(0).stops, stops);
    EXPECT_EQ(sum(bench.device().stats(0).requests), 0u);
    must(guest.restart(kNoEventIndex));
    EXPECT(!bench.device().stats(0).stopped);
  }
}

// COVERS(crash): what the host fails is told of
TEST(what_the_host_fails_is_counted_by_errno_and_logged_with_the_sector) {
  TempDir directory;
  DeviceFixture bench({.device = {.discard = true}});
  RawGuest guest = bench.guest();
  must(setup_logging({.console = 1, .disk = 2}, directory.path("log")));
  std::vector<std::byte> data(2 * kSector);
  const VirtioBlkDiscardWriteZeroes segments[] = {{0, 8, 0}, {64, 16, 0}};
  bench.faults().fail_nth(BlockOp::kRead, 1, EIO);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 7, data)->status, VIRTIO_BLK_S_IOERR);
  for (unsigned i = 1; i <= 9; i++) {
    bench.faults().fail_nth(BlockOp::kWrite, 1, ENOSPC);
    EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 100, data)->status, VIRTIO_BLK_S_IOERR);
  }
  bench.faults().fail_nth(BlockOp::kWriteZeroes, 2, EDQUOT);
  EXPECT_EQ(guest.segments(VIRTIO_BLK_T_WRITE_ZEROES, segments)->status, VIRTIO_BLK_S_IOERR);
  bench.faults().fail_nth(BlockOp::kFlush, 1, EIO);
  EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_IOERR);
  // A guest's own mistake is none of the host's.
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 1 << 30, data)->status, VIRTIO_BLK_S_IOERR);
  bench.settle();
  must(setup_logging({.console = 1}, ""));

  const QueueStats stats = bench.device().stats(0);
  EXPECT_EQ(stats.io_errors, 13u);
  EXPECT_EQ(stats.bytes_read, 0u);
  EXPECT_EQ(stats.bytes_written, 0u);
  std::map<std::pair<std::string_view, int>, uint64_t> counts;
  for (const auto& [operation, error, count] : stats.host_errors)
    counts[{kDiskOperationNames[operation], error}] = count;
  const decltype(counts) expected{
      {{"read", EIO}, 1}, {{"write", ENOSPC}, 9}, {{"write_zeroes", EDQUOT}, 1}, {{"flush", EIO}, 1}};
  EXPECT(counts == expected);
  const auto bytes = file_content(directory.path("log"));
  const std::string log(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_CONTAINS(log, "bench: read of 2 sectors at sector 7 failed: Input/output error (EIO, number 1)");
  EXPECT_CONTAINS(log, "bench: write of 2 sectors at sector 100 failed: No space left on device (ENOSPC, number 1)");
  EXPECT_CONTAINS(log, "(ENOSPC, number 8)");
  EXPECT(log.find("(ENOSPC, number 9)") == std::string::npos);
  EXPECT_CONTAINS(log, "bench: write_zeroes of 16 sectors at sector 64 failed: Disk quota exceeded (EDQUOT, number 1)");
  EXPECT_CONTAINS(log, "bench: flush failed: Input/output error (EIO, number 1)");
}

TEST(the_counts_are_read_while_the_queue_works_and_never_fall) {
  DeviceFixture bench;
  const auto driver = bench.driver({.depth = 16, .max_bytes = kSector});
  std::atomic<bool> stop{false}, fell{false};
  std::thread watcher([&] {
    for (uint64_t before = 0; !stop;) {
      const uint64_t now = bench.device().stats(0).latency_of(LatencyStage::kAll).count();
      if (now < before) fell = true;
      before = now;
    }
  });
  bool answered = true;
  for (int i = 0; i < 3000 && answered; i++) answered = driver->flush().ok();
  stop = true;
  watcher.join();
  EXPECT(answered && !fell);
  EXPECT_EQ(requests(bench.device().stats(0), DiskRequestKind::kFlush), 3000u);
}

TEST(requests_in_flight_are_those_that_the_driver_has_not_back) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold(BlockOp::kRead);
  for (uint16_t head = 0; head < 5; head++) {
    ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector);
    guest.offer(head);
  }
  guest.kick();
  bench.faults().wait_for_held(5);
  EXPECT_EQ(bench.device().stats(0).in_flight, 5u);
  EXPECT_EQ(bench.device().stats(0).latency_of(LatencyStage::kAll).count(), 0u);
  bench.faults().release();
  EXPECT_EQ(reap(guest, 5).size(), 5u);
  bench.settle();
  EXPECT_EQ(bench.device().stats(0).in_flight, 0u);
}

// The time of a held request is the engine's, not the ring's.
TEST(the_time_that_the_disk_takes_is_not_the_rings) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.disk().set_hook([](const BlockRequest&) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (std::chrono::steady_clock::now() < end) {
    }
  });
  std::vector<std::byte> data(kSector);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 0, data)->status, VIRTIO_BLK_S_OK);
  bench.settle();
  const QueueStats stats = bench.device().stats(0);
  const auto read = static_cast<size_t>(DiskRequestKind::kRead);
  const uint64_t engine = stats.latency_of(read, LatencyStage::kEngine).nanoseconds;
  EXPECT(engine >= 20'000'000);
  EXPECT_EQ(stats.latency_of(read, LatencyStage::kAll).nanoseconds,
            engine + stats.latency_of(read, LatencyStage::kRing).nanoseconds);
}

TEST(a_host_flush_reaches_the_disk_beside_what_the_guest_has_in_flight) {
  DeviceFixture bench({.device = {.queues = 2}});
  RawGuest guest = bench.guest();
  bench.faults().hold(BlockOp::kRead);
  for (uint16_t head = 0; head < 64; head++) {
    ready_request(guest, head, VIRTIO_BLK_T_IN, head, kSector);
    guest.offer(head);
  }
  guest.kick();
  bench.faults().wait_for_held(64);
  bench.disk().take_seen();
  must(bench.device().flush());
  const auto seen = bench.disk().take_seen();
  EXPECT_EQ(seen.size(), 1u);
  EXPECT(seen[0].op == BlockOp::kFlush);
  bench.faults().release();
  EXPECT_EQ(reap(guest, 64).size(), 64u);
  EXPECT_EQ(requests(bench.device().stats(0), DiskRequestKind::kFlush), 0u);
}

// COVERS(dm/devices/device.h): a flush of the host's waits for the disk
TEST(a_host_flush_waits_for_the_disk_also_across_a_reset) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  bench.faults().hold(BlockOp::kFlush);
  expect_waits_for_release(
      bench.faults(), [&] { must(bench.device().flush()); },
      [&] {
        bench.faults().wait_for_held(1);
        guest.function().out(VIRTIO_PCI_STATUS, 1, 0);
      });
  expect_serves_after_restart(guest);
}

TEST(a_host_flush_that_fails_names_the_disk) {
  DeviceFixture bench({.device = {.name = "virtio-blk 0:3:0"}});
  const RawGuest guest = bench.guest();
  bench.faults().fail_nth(BlockOp::kFlush, 1, EIO);
  const auto flushed = bench.device().flush();
  EXPECT(!flushed.ok());
  EXPECT_CONTAINS(flushed.error().message, "virtio-blk 0:3:0");
  EXPECT(flushed.error().kind == ErrorKind::kIo);
  must(bench.device().flush());
}

TEST(there_is_nothing_to_flush_without_a_disk_on_one_that_is_read_only_and_before_a_queue_has_run) {
  DeviceFixture absent({.attached = false});
  must(absent.device().flush());
  DeviceFixture read_only({.device = {.read_only = true}});
  must(read_only.device().flush());
  EXPECT(read_only.disk().take_seen().empty());
  DeviceFixture unused;
  must(unused.device().flush());
  EXPECT(unused.disk().take_seen().empty());
}

TEST(a_device_names_its_source_and_only_a_disk_can_do_what_disks_do) {
  const auto machine = must(LoopbackMachine::create(64 * kMiB));
  const auto loop = must(EpollLoop::create("shared", {}));
  const DeviceEnvironment environment{.memory = machine->memory(), .msi = machine->msi(), .shared_loop = *loop};
  const auto create = [&](const char* text) {
    const PciSlotConfig slot = must(parse_slot(text));
    return must(create_device(slot, environment, machine->pin(slot.address)));
  };
  const auto bridge = create("0,hostbridge");
  EXPECT_EQ(bridge->source(), "");
  EXPECT(bridge->disk() == nullptr);

  TempDir directory;
  const std::string path = directory.file("disk", kMiB);
  const auto device = create("9,virtio-blk,nodisk,mq=2");
  DiskControl* const disk = device->disk();
  EXPECT_EQ(device->source(), "nodisk");
  EXPECT_EQ(disk->stats().size(), 2u);
  must(disk->flush());
  EXPECT(!disk->rescan(split_fields("nodisk,mq=2"), -1).ok());
  must(disk->rescan(split_fields(path), -1));
  EXPECT_EQ(device->source(), path);
  must(disk->flush());
}

}  // namespace
}  // namespace acrn
