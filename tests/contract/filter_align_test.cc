// FilterAlign over a disk in memory that insists on aligned requests, with faults between them, and over a
// real disk with 4096-byte sectors.
#include <cerrno>
#include <cstring>
#include <random>

#include "dm/block/filters/align.h"
#include "dm/block/filters/range_table.h"
#include "dm/block/sources/ram_disk.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/host_media.h"
#include "tests/support/filter_fault.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 8 << 20;

// Fails what is not aligned as its info() says.
class StrictDisk final : public BlockBackend {
 public:
  explicit StrictDisk(std::unique_ptr<BlockBackend> below) : below_(std::move(below)) {}
  BlockInfo info() const override { return below_->info(); }
  Result<std::unique_ptr<BlockChannel>> open_channel(EventLoop& loop, unsigned depth) override {
    return std::unique_ptr<BlockChannel>(
        std::make_unique<Channel>(info(), std::move(below_->open_channel(loop, depth)).value()));
  }
  Result<uint64_t> refresh_size() override { return below_->refresh_size(); }

 private:
  class Channel final : public BlockChannel {
   public:
    Channel(const BlockInfo& info, std::unique_ptr<BlockChannel> below) : info_(info), below_(std::move(below)) {}
    void submit(std::span<BlockRequest* const> batch) override {
      for (BlockRequest* request : batch) {
        // A misaligned one is turned into one that the disk refuses.
        if (!aligned(*request)) request->offset = info_.size + 1;
        below_->submit(std::span(&request, 1));
      }
    }

   private:
    bool aligned(const BlockRequest& request) const {
      if (request.op == BlockOp::kFlush) return true;
      bool good = ((request.offset | request.length) & (info_.offset_alignment - 1)) == 0;
      for (const iovec& piece : request.iov) {
        // SAFETY: only the address's alignment is looked at.
        const uintptr_t address = reinterpret_cast<uintptr_t>(piece.iov_base);
        good = good && ((address | piece.iov_len) & (info_.memory_alignment - 1)) == 0;
      }
      return good;
    }
    const BlockInfo info_;
    const std::unique_ptr<BlockChannel> below_;
  };

  const std::unique_ptr<BlockBackend> below_;
};

struct Disk {
  explicit Disk(uint32_t block = 4096, uint64_t size = kSize) : block_size(block), bytes(size) {}
  uint32_t block_size;
  uint64_t bytes;
  std::shared_ptr<FaultPlan> plan = std::make_shared<FaultPlan>();
  std::unique_ptr<BlockBackend> backend = make();
  BlockRig rig{*backend};

  std::unique_ptr<BlockBackend> make() const {
    BlockInfo info;
    info.size = bytes;
    info.offset_alignment = block_size;
    info.memory_alignment = 512;
    auto strict = std::make_unique<StrictDisk>(std::move(make_ram_disk(info)).value());
    return make_filter_align(make_filter_fault(std::move(strict), plan));
  }
  std::vector<uint8_t> read(uint64_t offset, size_t count) {
    TestRequest request = TestRequest::read(offset, count);
    EXPECT_EQ(rig.run(request), 0);
    return request.data();
  }
};

TestRequest skewed(TestRequest request) {
  request.lay_out(1000, 7);
  return request;
}

}  // namespace

TEST(aligned_requests_pass_as_they_are) {
  Disk disk;
  EXPECT_EQ(disk.backend->info().offset_alignment, 512u);
  EXPECT_EQ(disk.backend->info().memory_alignment, 1u);
  EXPECT_EQ(disk.rig.run(TestRequest::write(8192, pattern(1, 1 << 20))), 0);
  EXPECT(disk.read(8192, 1 << 20) == pattern(1, 1 << 20));
  EXPECT_EQ(disk.plan->count(BlockOp::kWrite), 1u);
  EXPECT_EQ(disk.plan->count(BlockOp::kRead), 1u);
}

// COVERS(device page, 2): O_DIRECT for requests of any alignment
TEST(a_large_unaligned_write_reads_only_its_two_edges) {
  Disk disk;
  const auto bytes = pattern(1, (1 << 20) + 1024);
  EXPECT_EQ(disk.rig.run(skewed(TestRequest::write(512, bytes))), 0);
  EXPECT_EQ(disk.plan->count(BlockOp::kRead), 2u);
  EXPECT(disk.read(512, bytes.size()) == bytes);
  EXPECT(disk.read(0, 512) == std::vector<uint8_t>(512));
}

TEST(with_512_byte_blocks_nothing_is_read_before_a_write) {
  Disk disk(512);
  EXPECT_EQ(disk.rig.run(skewed(TestRequest::write(512, pattern(1, 8192 + 512)))), 0);
  EXPECT_EQ(disk.plan->count(BlockOp::kRead), 0u);
  EXPECT(disk.read(512, 8192 + 512) == pattern(1, 8192 + 512));
}

// COVERS(B14): parts of one block in parallel with `nocache`
TEST(two_writes_to_parts_of_one_block_both_survive) {
  Disk disk;
  BlockRig other(*disk.backend);
  for (int round = 0; round < 20; round++) {
    std::vector<TestRequest> here, there;
    for (uint64_t sector = 0; sector < 8; sector++) {
      (sector % 2 == 0 ? here : there).push_back(TestRequest::write(sector * 512, pattern(sector + 8 * round, 512)));
    }
    // The first to read the block is kept in the middle of its read-modify-write.
    disk.plan->hold(BlockOp::kRead);
    disk.rig.start(here);
    disk.plan->wait_for_held(1);
    other.start(there);
    disk.plan->release();
    disk.rig.finish();
    other.finish();
    for (uint64_t sector = 0; sector < 8; sector++) {
      EXPECT(disk.read(sector * 512, 512) == pattern(sector + 8 * round, 512));
    }
  }
}

TEST(a_whole_block_waits_for_the_change_of_a_part_of_it) {
  Disk disk;
  BlockRig other(*disk.backend);
  std::vector<TestRequest> part, whole;
  part.push_back(TestRequest::write(512, pattern(1, 512)));
  whole.push_back(TestRequest::write(0, pattern(2, 4096)));
  disk.plan->hold(BlockOp::kRead);
  disk.rig.start(part);
  disk.plan->wait_for_held(1);
  other.start(whole);
  disk.plan->release();
  disk.rig.finish();
  other.finish();
  const auto block = pattern(2, 4096);
  EXPECT(disk.read(1024, 3072) == std::vector<uint8_t>(block.begin() + 1024, block.end()));
}

TEST(more_requests_than_buffers_and_slots_complete) {
  Disk disk;
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < 300; i++) writes.push_back(skewed(TestRequest::write(i * 1536, pattern(i, 1536))));
  disk.rig.run(writes);
  for (uint64_t i = 0; i < 300; i++) {
    EXPECT_EQ(writes[i].error, 0);
    EXPECT(disk.read(i * 1536, 1536) == pattern(i, 1536));
  }
}

// COVERS(B20): failed read through a bounce buffer
TEST(a_failed_read_through_a_buffer_gives_the_guest_nothing) {
  Disk disk;
  // Leaves something in every buffer that must not be seen.
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < 8; i++) writes.push_back(skewed(TestRequest::write(i << 18, pattern(i, 256 << 10))));
  disk.rig.run(writes);
  disk.plan->fail_range(BlockOp::kRead, 512 << 10, 516 << 10, EIO);
  TestRequest read = skewed(TestRequest::read(512, 1 << 20));
  EXPECT_EQ(disk.rig.run(read), EIO);
  // Only pieces before the bad one have been read.
  const auto data = read.data();
  size_t given = data.size();
  while (given > 0 && data[given - 1] == 0xee) given--;
  EXPECT(given <= (512 << 10) - 512);
  disk.plan->clear();
  const auto truth = disk.read(512, 1 << 20);
  EXPECT(std::memcmp(truth.data(), data.data(), given) == 0);
}

TEST(a_failed_read_before_a_write_fails_the_write_and_frees_its_range) {
  Disk disk;
  disk.plan->fail_nth(BlockOp::kRead, 1, EIO);
  EXPECT_EQ(disk.rig.run(TestRequest::write(512, pattern(1, 512))), EIO);
  EXPECT(disk.read(0, 4096) == std::vector<uint8_t>(4096));
  EXPECT_EQ(disk.rig.run(TestRequest::write(512, pattern(1, 512))), 0);
}

TEST(one_failed_request_among_many_fails_alone) {
  Disk disk;
  disk.plan->fail_range(BlockOp::kWrite, 40 * 4096, 41 * 4096, ENOSPC);
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < 80; i++) writes.push_back(skewed(TestRequest::write(i * 4096 + 512, pattern(i, 1024))));
  disk.rig.run(writes);
  for (size_t i = 0; i < writes.size(); i++) EXPECT_EQ(writes[i].error, i == 40 ? ENOSPC : 0);
}

// COVERS(B19): lengths past 2^31 with `nocache`
TEST(lengths_beyond_two_gibibytes_are_served) {
  constexpr uint64_t kLength = (uint64_t{2} << 30) + (64 << 20) + 512;
  Disk disk(4096, uint64_t{3} << 30);
  std::vector<uint8_t> memory((1 << 20) + 1, 0xee);
  std::vector<iovec> vectors;
  for (uint64_t left = kLength; left > 0; left -= vectors.back().iov_len) {
    vectors.push_back({memory.data() + 1, static_cast<size_t>(std::min<uint64_t>(left, 1 << 20))});
  }
  TestRequest request(BlockOp::kRead, 512, kLength);
  request.iov = vectors;
  EXPECT_EQ(disk.rig.run(request), 0);
  EXPECT_EQ(memory[1], 0);
  EXPECT_EQ(memory.back(), 0);
}

// COVERS(B19): lengths past 2^31 with `nocache`
TEST(a_direct_file_serves_lengths_beyond_two_gibibytes) {
  TempDir dir;
  BlockOptions options = options_for(dir.file("disk", uint64_t{3} << 30));
  options.nocache = true;
  options.read_only = true;
  auto backend = open_backend(options);
  BlockRig rig(*backend);
  constexpr uint64_t kLength = (uint64_t{2} << 30) + (64 << 20);
  TestRequest memory = TestRequest::read(0, 1 << 20);
  std::vector<iovec> vectors(kLength >> 20, memory.iov[0]);
  TestRequest request(BlockOp::kRead, 0, kLength);
  request.iov = vectors;
  EXPECT_EQ(rig.run(request), 0);
  EXPECT(memory.data() == std::vector<uint8_t>(1 << 20));
}

TEST(a_discard_is_rounded_inwards_and_one_of_no_whole_block_does_nothing) {
  Disk disk;
  const auto bytes = pattern(1, 32768);
  EXPECT_EQ(disk.rig.run(TestRequest::write(0, bytes)), 0);
  EXPECT_EQ(disk.rig.run(TestRequest(BlockOp::kDiscard, 512, 4096)), 0);
  EXPECT(disk.read(0, 32768) == bytes);
  EXPECT_EQ(disk.rig.run(TestRequest(BlockOp::kDiscard, 4096 + 512, 12288)), 0);
  EXPECT(disk.read(0, 8192) == std::vector<uint8_t>(bytes.begin(), bytes.begin() + 8192));
  EXPECT(disk.read(8192, 8192) == std::vector<uint8_t>(8192));
}

TEST(ranges_are_granted_first_come_first_served) {
  struct EventFd final : Notifier {
    void notify() override { rings++; }
    int fd() const override { return -1; }
    int rings = 0;
  };
  EventFd bell, other_bell;
  RangeParty party{&bell}, other{&other_bell};
  RangeTable table;
  RangeHold first{0, 4096, true, &party}, second{0, 8192, false, &other}, third{4096, 8192, true, &party};
  RangeHold shared{8192, 16384, false, &party}, also_shared{8192, 12288, false, &other};
  EXPECT(table.acquire(first));
  EXPECT(!table.acquire(second));
  EXPECT(!table.acquire(third));  // nobody holds its bytes, but the second came first
  EXPECT(table.acquire(shared));
  EXPECT(table.acquire(also_shared));
  table.release(first);
  EXPECT_EQ(other_bell.rings, 1);
  EXPECT(table.take_granted(other) == &second);
  EXPECT(table.take_granted(party) == nullptr);
  table.release(second);
  EXPECT(table.take_granted(party) == &third);
  for (RangeHold* hold : {&third, &shared, &also_shared}) table.release(*hold);
}

}  // namespace acrn::test
