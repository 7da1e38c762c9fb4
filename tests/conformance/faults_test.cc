// What the host gets wrong: errors, short files, full disks, blocks larger than requests. Each is the status
// of the request that it hit, and the device goes on (rows B1, B7, B9, B10, B14, B15, B19-B21).
// COVERS(blk.bounds, blk.read-only)
#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "dm/block/filters/align.h"
#include "tests/support/device_fixture.h"
#include "tests/support/temp_dir.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

uint8_t status_of(RawGuest& guest, uint32_t type, uint64_t sector, uint32_t bytes) {
  std::vector<std::byte> data(bytes);
  const auto outcome = guest.request(type, sector, data);
  EXPECT(outcome.has_value());
  const bool read_ok = type == VIRTIO_BLK_T_IN && outcome->status == VIRTIO_BLK_S_OK;
  EXPECT_EQ(outcome->written, read_ok ? bytes + 1 : 1);
  return outcome->status;
}

// COVERS(B10): EIO on one sector
TEST(an_error_of_one_sector_fails_the_requests_that_touch_it_and_no_other) {
  DeviceFixture bench;
  RawGuest guest = bench.guest();
  for (const BlockOp op : {BlockOp::kRead, BlockOp::kWrite}) {
    bench.faults().fail_range(op, 10 * kSector, 11 * kSector, EIO);
    const uint32_t type = op == BlockOp::kRead ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
    EXPECT_EQ(status_of(guest, type, 9, kSector), VIRTIO_BLK_S_OK);
    EXPECT_EQ(status_of(guest, type, 10, kSector), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(status_of(guest, type, 8, 8 * kSector), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(status_of(guest, type, 11, kSector), VIRTIO_BLK_S_OK);
    bench.faults().clear();
    EXPECT_EQ(status_of(guest, type, 10, kSector), VIRTIO_BLK_S_OK);
  }
}

// COVERS(B10): EINTR, EAGAIN
TEST(whatever_errno_the_disk_answers_is_an_io_error_once) {
  DeviceFixture bench({.device = {.discard = true}});
  RawGuest guest = bench.guest();
  for (const int error : {EIO, ENOSPC, EDQUOT, EINTR, EAGAIN, ENOMEM, EINVAL, EROFS, ETIMEDOUT}) {
    bench.faults().fail_nth(BlockOp::kWrite, 1, error);
    EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_OUT, 1, kSector), VIRTIO_BLK_S_IOERR);
    bench.faults().fail_nth(BlockOp::kFlush, 1, error);
    EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_IOERR);
    expect_serves(guest);
  }
}

// COVERS(B21): one failure among many
TEST(one_failed_request_among_64_in_flight_fails_alone) {
  for (const BlockOp op : {BlockOp::kRead, BlockOp::kWrite}) {
    DeviceFixture bench;
    RawGuest guest = bench.guest();
    bench.faults().hold();
    bench.faults().fail_range(op, 17 * kSector, 18 * kSector, EIO);
    std::vector<ReadyRequest> all;
    for (uint16_t head = 0; head < 64; head++) {
      all.push_back(
          ready_request(guest, head, op == BlockOp::kRead ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, head, kSector));
      guest.offer(head);
    }
    guest.kick();
    bench.faults().wait_for_held(64);
    bench.faults().release();
    for (const VringUsedElem& used : reap(guest, 64)) {
      const bool failed = used.id == 17;
      EXPECT_EQ(guest.byte(all[used.id].status), failed ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
      EXPECT_EQ(uint32_t{used.len}, op == BlockOp::kRead && !failed ? kSector + 1 : 1);
    }
    EXPECT(all[17].data.untouched());
    expect_serves(guest);
  }
}

// COVERS(B9): file truncated under the device; sparse tail
TEST(a_file_truncated_under_the_device_is_an_io_error_behind_its_end) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}})});
  RawGuest guest = bench.guest();
  std::filesystem::resize_file(path, 100 * kSector + 100);
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, 99, kSector), VIRTIO_BLK_S_OK);
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, 100, kSector), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, 96, 8 * kSector), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, 1000, 8 * kSector), VIRTIO_BLK_S_IOERR);
  std::filesystem::resize_file(path, kMiB);  // a sparse tail is data again: zeroes
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, 1000, 8 * kSector), VIRTIO_BLK_S_OK);
  expect_serves(guest);
}

// COVERS(B1): sector and length past the end, wrapping, with `range=`
TEST(a_window_is_never_left) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}, .range = BlockRange{100, 50}})});
  RawGuest guest = bench.guest();
  EXPECT_EQ(guest.capacity(), 50u);
  const uint64_t past[] = {50, 51, ~uint64_t{0}, uint64_t{1} << 55, (uint64_t{1} << 55) - 100, ~uint64_t{0} - 99};
  for (const uint64_t sector : past) {
    EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_OUT, sector, kSector), VIRTIO_BLK_S_IOERR);
    EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, sector, kSector), VIRTIO_BLK_S_IOERR);
  }
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_OUT, 49, 2 * kSector), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_OUT, 0, kSector), VIRTIO_BLK_S_OK);
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_OUT, 49, kSector), VIRTIO_BLK_S_OK);
  const auto content = file_content(path);
  EXPECT_EQ(content.size(), kMiB);
  for (size_t i = 0; i < content.size(); i++) {
    const size_t sector = i / kSector;
    EXPECT_EQ(content[i], sector == 100 || sector == 149 ? std::byte{0} : pattern(i));
  }
}

// COVERS(B7): changes of a read-only disk
TEST(an_image_opened_ro_is_the_same_after_every_attempt_to_write) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  const auto before = file_content(path);
  DeviceFixture bench({.device = {.read_only = true, .discard = true},
                       .backend = open_backend({.source = FilePath{path}, .read_only = true})});
  RawGuest guest = bench.guest();
  for (const uint32_t type : {VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES}) {
    EXPECT_EQ(status_of(guest, type, 0, kSector), VIRTIO_BLK_S_IOERR);
  }
  EXPECT_EQ(guest.flush()->status, VIRTIO_BLK_S_OK);
  EXPECT(file_content(path) == before);
  expect_serves(guest);
}

// A disk that moves whole blocks of 4 KiB, under the filter that `nocache` uses, with faults below it.
struct BlockDisk {
  std::shared_ptr<FaultPlan> below = std::make_shared<FaultPlan>();
  MemoryDisk* disk = nullptr;

  std::unique_ptr<BlockBackend> make() {
    auto memory = std::make_unique<MemoryDisk>(
        BlockInfo{.size = kMiB, .physical_block = 4096, .offset_alignment = 4096, .memory_alignment = 4096});
    disk = memory.get();
    return make_filter_align(make_filter_fault(std::move(memory), below));
  }
};

// COVERS(B14): parts of one block in parallel with `nocache`
TEST(adjacent_writes_of_parts_of_a_block_all_survive) {
  BlockDisk block;
  DeviceFixture bench({.backend = block.make()});
  RawGuest guest = bench.guest();
  block.below->hold(BlockOp::kRead);  // the reads of the read-modify-writes
  std::vector<ReadyRequest> all;
  for (uint16_t head = 0; head < 8; head++) {
    all.push_back(ready_request(guest, head, VIRTIO_BLK_T_OUT, 8u + head, kSector, static_cast<uint8_t>(0x80 + head)));
    guest.offer(head);
  }
  guest.kick();
  block.below->wait_for_held(1);
  block.below->release();
  reap(guest, 8);
  const auto content = block.disk->content();
  for (uint16_t i = 0; i < 8; i++) {
    EXPECT_EQ(guest.byte(all[i].status), VIRTIO_BLK_S_OK);
    EXPECT_EQ(content[(8u + i) * kSector], static_cast<std::byte>(0x80 + i));
    EXPECT_EQ(content[(9u + i) * kSector - 1], static_cast<std::byte>(0x80 + i));
  }
  EXPECT(block.disk->untouched(0, 4096) && block.disk->untouched(8192, kMiB));
  for (const auto& seen : block.disk->take_seen()) EXPECT_EQ((seen.offset | seen.length) % 4096, 0u);
}

// COVERS(B14): parts of one block in parallel with `nocache`
TEST(adjacent_writes_with_nocache_on_a_file_all_survive) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}, .nocache = true})});
  RawGuest guest = bench.guest();
  std::vector<ReadyRequest> all;
  for (uint16_t head = 0; head < 64; head++) {
    all.push_back(ready_request(guest, head, VIRTIO_BLK_T_OUT, head, kSector, static_cast<uint8_t>(0x80 + head)));
    guest.offer(head);
  }
  guest.kick();
  reap(guest, 64);
  const auto content = file_content(path);
  for (size_t i = 0; i < content.size(); i++) {
    const size_t sector = i / kSector;
    EXPECT_EQ(content[i], sector < 64 ? static_cast<std::byte>(0x80 + sector) : pattern(i));
  }
  expect_serves(guest);
}

// COVERS(B20): failed read through a bounce buffer
TEST(a_failed_read_through_a_bounce_buffer_shows_nothing_but_what_was_read) {
  BlockDisk block;
  DeviceFixture bench({.backend = block.make()});
  RawGuest guest = bench.guest();
  EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_IN, 1000, 32 * kSector),
            VIRTIO_BLK_S_OK);  // leaves its data in the bounce buffers
  for (uint64_t block_number = 0; block_number < 4; block_number++) {
    block.below->fail_range(BlockOp::kRead, block_number * 4096, block_number * 4096 + 1, EIO);
    const auto ready = ready_request(guest, 0, VIRTIO_BLK_T_IN, 1, 30 * kSector);
    EXPECT_EQ(uint32_t{guest.run(uint16_t{0})->len}, 1u);
    EXPECT_EQ(guest.byte(ready.status), VIRTIO_BLK_S_IOERR);
    const auto content = ready.data.content();
    for (size_t i = 0; i < content.size(); i++) {
      EXPECT(content[i] == std::byte{0x5a} || content[i] == pattern(kSector + i));
    }
    EXPECT(ready.data.canaries_intact());
    block.below->clear();
  }
  EXPECT(block.disk->untouched());
  expect_serves(guest);
}

TEST(a_failed_read_modify_write_leaves_the_rest_of_its_block) {
  BlockDisk block;
  DeviceFixture bench({.backend = block.make()});
  RawGuest guest = bench.guest();
  for (const BlockOp op : {BlockOp::kRead, BlockOp::kWrite}) {
    block.below->fail_nth(op, 1, EIO);
    EXPECT_EQ(status_of(guest, VIRTIO_BLK_T_OUT, 3, kSector), VIRTIO_BLK_S_IOERR);
    EXPECT(block.disk->untouched());
  }
  expect_serves(guest);
}

// COVERS(B15): more requests than engine entries
TEST(more_requests_than_the_engine_has_entries_all_complete) {
  TempDir directory;
  const std::string path = directory.path("disk");
  write_pattern(path, kMiB);
  DeviceFixture bench(
      {.device = {.queue_size = 1024}, .backend = open_backend({.source = FilePath{path}, .writeback = true})});
  RawGuest guest = bench.guest();
  for (const bool stalled : {false, true}) {
    if (stalled) bench.faults().hold();
    std::vector<ReadyRequest> all;
    for (uint16_t head = 0; head < 1024; head++) {
      const uint32_t type = head % 2 == 0 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
      all.push_back(ready_request(guest, head, type, head, kSector, 0x99));
      guest.offer(head);
    }
    guest.kick();
    if (stalled) bench.faults().wait_for_held(1024);
    bench.faults().release();
    std::vector<unsigned> seen(1024);
    for (const VringUsedElem& used : reap(guest, 1024)) seen[used.id]++;
    for (uint16_t head = 0; head < 1024; head++) {
      EXPECT_EQ(seen[head], 1u);
      EXPECT_EQ(guest.byte(all[head].status), VIRTIO_BLK_S_OK);
      if (head % 2 == 0) EXPECT(all[head].data.holds_disk(head * kSector));
    }
  }
  expect_serves(guest);
}

// One read of a little more than 2 GiB, into the same 64 MiB again and again.
void check_huge_read(bool nocache) {
  constexpr uint32_t kPiece = 64 * kMiB, kPieces = 32;
  TempDir directory;
  const std::string path = directory.file("disk", 3 * 1024 * kMiB);
  DeviceFixture bench({.backend = open_backend({.source = FilePath{path}, .nocache = nocache}), .ram = 256 * kMiB});
  RawGuest guest = bench.guest();
  // nocache: an odd address, so that all of it goes through bounce buffers.
  const Gpa data{raw(guest.memory(kPiece + 4096, 4096)) + (nocache ? 1 : 0)}, status = guest.status();
  std::vector<RawGuest::Piece> pieces{{guest.header(VIRTIO_BLK_T_IN, 0), 16, false}};
  for (uint32_t i = 0; i < kPieces; i++) pieces.push_back({data, kPiece, true});
  pieces.push_back({data, kSector, true});
  pieces.push_back({status, 1, true});
  guest.chain(0, pieces);
  guest.offer(0);
  guest.kick();
  const auto used = guest.next_used(std::chrono::minutes(5));
  EXPECT(used.has_value());
  EXPECT(guest.byte(status) == VIRTIO_BLK_S_OK || guest.byte(status) == VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(uint32_t{used->len}, guest.byte(status) == VIRTIO_BLK_S_OK ? kPiece * kPieces + kSector + 1 : 1);
  expect_serves(guest);
}

TEST(a_read_of_more_than_2_gib_completes) { check_huge_read(false); }

// COVERS(B19): lengths past 2^31 with `nocache`
TEST(a_read_of_more_than_2_gib_with_nocache_completes) { check_huge_read(true); }

// COVERS(B15): more requests than engine entries
TEST(a_stalled_queue_does_not_stall_its_neighbour) {
  DeviceFixture bench({.device = {.queues = 2}});
  const auto driver = bench.driver();
  bench.faults().hold(BlockOp::kRead);
  driver->queue(1).start(0, VIRTIO_BLK_T_IN, 0, kSector, false);
  driver->queue(1).kick();
  bench.faults().wait_for_held(1);
  for (int i = 0; i < 100; i++) EXPECT_EQ(must(driver->flush()), VIRTIO_BLK_S_OK);
  bench.faults().release();
  uint8_t status = 0xff;
  EXPECT(driver->queue(1).reap([&](const DriverCompletion& done) { status = done.status; }));
  EXPECT_EQ(status, VIRTIO_BLK_S_OK);
}

}  // namespace
}  // namespace acrn
