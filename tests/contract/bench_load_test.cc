// The sides of `vblk bench` on real files: what a load leaves behind, and that verification finds what is wrong.
#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "acrn/base/unique_fd.h"
#include "dm/tools/bench/device.h"
#include "dm/tools/bench/direct.h"
#include "dm/tools/session.h"
#include "tests/support/temp_dir.h"

using namespace acrn;
using namespace acrn::test;

namespace {

constexpr uint64_t kBytes = 1 << 20;

class Rig {
 public:
  explicit Rig(const std::string& options, BenchText text = {}, unsigned depth = 8) {
    text.rw = text.rw == "randread" ? "randrw" : text.rw;
    options_ = parse_bench_options(text).value();
    path_ = folder_.file("disk.img", kBytes);
    auto session = Session::open({.slots = {"3,virtio-blk," + options.substr(0, options.find(';')) + path_ +
                                            options.substr(options.find(';') + 1)}},
                                 1);
    EXPECT(session.ok());
    session_ = std::move(session).value();
    driver_ = std::move(session_->drive(0, {.depth = depth, .max_bytes = options_.block})).value();
    ledger_ = std::move(WriteLedger::create(kBytes / options_.block, options_.block, 42)).value();
    load_.emplace(*driver_, options_, kBytes, driver_->queue_count(), ledger_.get());
  }

  WriteLedger& ledger() { return *ledger_; }
  BenchRound run(uint64_t seed) { return load_->run(0.05, seed, {}).value(); }
  BenchRound read_back() { return load_->read_back({}).value(); }
  const std::string& path() const { return path_; }
  // What another program does to the file.
  void overwrite(uint64_t offset, const std::vector<std::byte>& data) {
    const UniqueFd file(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(pwrite(file.fd(), data.data(), data.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(data.size()));
  }
  std::vector<std::byte> contents(uint64_t offset, size_t bytes) {
    std::vector<std::byte> data(bytes);
    const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(pread(file.fd(), data.data(), bytes, static_cast<off_t>(offset)), static_cast<ssize_t>(bytes));
    return data;
  }

 private:
  TempDir folder_;
  std::string path_;
  BenchOptions options_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<LegacyDriver> driver_;
  std::unique_ptr<WriteLedger> ledger_;
  std::optional<DeviceLoad> load_;
};

void expect_clean(Rig& rig) {
  uint64_t requests = 0;
  for (uint64_t seed = 0; seed < 3; seed++) {
    const BenchRound round = rig.run(seed);
    EXPECT_EQ(round.errors, 0u);
    requests += round.latency.count();
  }
  EXPECT(requests > 0);
  EXPECT(rig.read_back().checked > 0);
  EXPECT_EQ(rig.ledger().failure(), std::string());
}

}  // namespace

TEST(a_sound_disk_verifies_in_every_pattern) {
  for (const char* rw : {"write", "randwrite", "randrw"}) {
    Rig rig(";,writeback,lock=off", {.rw = rw});
    expect_clean(rig);
  }
}

TEST(a_sound_disk_verifies_with_several_jobs_and_few_blocks) {
  // 64 requests in flight on as many blocks: every choice is of the last one that is free.
  Rig rig("mq=4,;,writeback,lock=off", {.block = "16k"}, 16);
  expect_clean(rig);
}

TEST(a_sound_disk_verifies_write_through_and_in_sectors) {
  Rig rig(";,lock=off", {.block = "512"});
  expect_clean(rig);
}

TEST(a_block_that_was_changed_underneath_is_found_with_its_offset) {
  Rig rig(";,writeback,lock=off", {.rw = "write", .block = "64k"});
  rig.run(1);
  rig.overwrite(128 * 1024 + 4096 + 40, {std::byte{1}, std::byte{2}});
  rig.read_back();
  EXPECT(rig.ledger().failed());
  EXPECT_CONTAINS(rig.ledger().failure(), "verify: offset 135168: not what was written there: 1 of 64 words differ");
  EXPECT_CONTAINS(rig.ledger().failure(), "the first at offset 135208");
}

TEST(a_lost_write_is_told_from_damage) {
  Rig rig(";,writeback,lock=off", {.rw = "write", .block = "64k"});
  rig.run(1);
  const auto before = rig.contents(65536, 512);
  rig.run(2);
  rig.overwrite(65536, before);
  rig.read_back();
  EXPECT_CONTAINS(rig.ledger().failure(), "verify: offset 65536: write ");
  EXPECT_CONTAINS(rig.ledger().failure(), " of this block was lost, write ");
}

TEST(a_write_to_the_wrong_place_is_named) {
  Rig rig(";,writeback,lock=off", {.rw = "write", .block = "64k"});
  rig.run(1);
  rig.overwrite(65536, rig.contents(0, 512));
  rig.read_back();
  EXPECT_CONTAINS(rig.ledger().failure(), "verify: offset 65536: what was written to offset 0 is there");
}

TEST(a_mismatch_ends_the_round_that_meets_it) {
  Rig rig(";,writeback,lock=off", {.rw = "write"});
  rig.run(1);
  rig.overwrite(0, std::vector<std::byte>(kBytes));
  rig.read_back();
  EXPECT(rig.ledger().failed());
  EXPECT_EQ(rig.run(2).latency.count(), 0u);
}

TEST(a_ledger_gives_each_block_to_one_request) {
  auto ledger = std::move(WriteLedger::create(3, 512, 1)).value();
  const auto first = ledger->claim(1, true), second = ledger->claim(1, true), third = ledger->claim(1, false);
  EXPECT_EQ(first.block, 1u);
  EXPECT_EQ(second.block, 2u);
  EXPECT_EQ(third.block, 0u);
  EXPECT(!third.known);
  ledger->release(first, true);
  ledger->release(second, false);
  EXPECT(ledger->claim(1, false).known);
  const auto failed_before = ledger->claim(2, true);
  EXPECT(!failed_before.known);
  EXPECT_EQ(failed_before.generation, 2u);
  EXPECT(!WriteLedger::create(WriteLedger::kMaxBlocks + 1, 512, 1).ok());
}

TEST(both_direct_methods_move_what_the_pattern_says) {
  const TempDir folder;
  const std::string path = folder.file("disk.img", 2 * kBytes);
  BlockOptions disk{.source = FilePath{path}, .range = BlockRange{kBytes / 512, kBytes / 512}};
  for (const bool writeback : {true, false}) {
    disk.writeback = writeback;
    const auto file = DirectFile::open(disk, "--direct-baseline");
    EXPECT(file.ok());
    EXPECT(file.value().drop_pages().ok());
    const BenchOptions options = parse_bench_options({.rw = "write", .block = "16k", .depth = "4"}).value();
    for (const auto run : {run_direct_calls, run_direct_ring}) {
      if (run == run_direct_ring && !io_uring_refusal(4).empty()) continue;
      BenchRound round;
      EXPECT(run(file.value(), options, BenchPattern(options, kBytes / options.block, 1, 0, 1), 0.02, round).ok());
      EXPECT_EQ(round.errors, 0u);
      EXPECT(round.latency.count() > 0);
    }
  }
  // The window was written and nothing before it.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char before = 1, inside = 0;
  EXPECT_EQ(pread(file.fd(), &before, 1, kBytes - 1), 1);
  EXPECT_EQ(pread(file.fd(), &inside, 1, kBytes), 1);
  EXPECT_EQ(before, '\0');
  EXPECT_EQ(inside, '\x5a');
}

TEST(a_direct_request_that_fails_is_counted_with_its_reason) {
  const TempDir folder;
  const BlockOptions disk{.source = FilePath{folder.file("disk.img", kBytes)}, .read_only = true};
  const auto file = DirectFile::open(disk, "--direct-baseline");
  const BenchOptions options = parse_bench_options({.rw = "write"}).value();
  for (const auto run : {run_direct_calls, run_direct_ring}) {
    if (run == run_direct_ring && !io_uring_refusal(4).empty()) continue;
    BenchRound round;
    EXPECT(run(file.value(), options, BenchPattern(options, kBytes / options.block, 1, 0, 1), 0.01, round).ok());
    EXPECT(round.errors > 0);
    EXPECT_EQ(round.latency.count(), 0u);
    EXPECT_EQ(round.first_error, std::string("Bad file descriptor"));
  }
  EXPECT(!DirectFile::open({.source = RamDiskSource{kBytes}}, "--direct-baseline").ok());
}
