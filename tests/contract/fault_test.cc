// fault=: what the rules of a disk say happens to its requests, and nothing else does.
#include "dm/block/filters/fault.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include "dm/block/open.h"
#include "dm/devices/fault_rules.h"
#include "tests/contract/block_rig.h"

namespace acrn::test {
namespace {

constexpr uint64_t kSize = 1 << 20;

// A RAM disk with these rules.
class FaultyDisk {
 public:
  explicit FaultyDisk(const char* rules) {
    BlockOptions options;
    options.source = RamDiskSource{kSize};
    options.faults = parse_fault_rules(rules).value();
    backend_ = std::move(open_disk(options, "0:9:0").value().backend);
    rig_.emplace(*backend_);
  }
  int run(TestRequest& request) { return rig_->run(request); }
  int read(uint64_t offset, uint64_t length = 4096) {
    TestRequest request = TestRequest::read(offset, length);
    return run(request);
  }
  int write(uint64_t offset, const std::vector<uint8_t>& data) {
    TestRequest request = TestRequest::write(offset, data);
    return run(request);
  }
  std::vector<uint8_t> content(uint64_t offset, uint64_t length) {
    TestRequest request = TestRequest::read(offset, length);
    EXPECT_EQ(run(request), 0);
    return request.data();
  }
  BlockRig& rig() { return *rig_; }

 private:
  std::unique_ptr<BlockBackend> backend_;
  std::optional<BlockRig> rig_;
};

}  // namespace

TEST(an_error_hits_its_operation_and_its_sectors_alone) {
  FaultyDisk disk("write:ENOSPC:sectors=8-15");
  EXPECT_EQ(disk.write(0, pattern(1, 4096)), 0);
  EXPECT_EQ(disk.write(4096, pattern(2, 4096)), ENOSPC);
  EXPECT_EQ(disk.write(7 * 512, pattern(2, 1024)), ENOSPC);  // one of its two sectors
  EXPECT_EQ(disk.write(8192, pattern(3, 4096)), 0);
  EXPECT(disk.content(0, 4096) == pattern(1, 4096));
  EXPECT(disk.content(4096, 4096) == std::vector<uint8_t>(4096));
}

TEST(so_many_pass_and_so_many_are_hit) {
  FaultyDisk disk("read:EIO:skip=2:times=3");
  std::vector<int> results;
  for (int i = 0; i < 8; i++) results.push_back(disk.read(0));
  EXPECT(results == (std::vector<int>{0, 0, EIO, EIO, EIO, 0, 0, 0}));
}

TEST(a_chance_is_the_same_for_a_seed) {
  const auto results = [](const char* rules) {
    FaultyDisk disk(rules);
    std::vector<int> all;
    for (int i = 0; i < 1000; i++) all.push_back(disk.read(0, 512));
    return all;
  };
  const auto first = results("read:EIO:chance=10:seed=5");
  EXPECT(first == results("read:EIO:chance=10:seed=5"));
  EXPECT(first != results("read:EIO:chance=10:seed=6"));
  const auto hit = std::count(first.begin(), first.end(), EIO);
  EXPECT(hit > 60 && hit < 150);
}

TEST(a_short_write_has_done_its_first_half) {
  FaultyDisk disk("write:short:times=1");
  const auto written = pattern(1, 8192);
  EXPECT_EQ(disk.write(0, written), EIO);
  EXPECT(disk.content(0, 4096) == std::vector<uint8_t>(written.begin(), written.begin() + 4096));
  EXPECT(disk.content(4096, 4096) == std::vector<uint8_t>(4096));
  EXPECT_EQ(disk.write(0, pattern(2, 8192)), 0);
  FaultyDisk small("any:short");
  EXPECT_EQ(small.write(0, pattern(1, 512)), EIO);  // there is no half of a sector
  TestRequest flush(BlockOp::kFlush, 0, 0);
  EXPECT_EQ(small.run(flush), EIO);
}

TEST(a_disk_with_faults_leaves_sinks_alone_that_it_has_told) {
  FaultyDisk disk("any:short");
  expect_a_sink_to_be_left_alone(disk.rig());
}

TEST(a_delay_carries_the_request_out_later) {
  FaultyDisk disk("read:delay=30ms:times=1");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(disk.read(0), 0);
  EXPECT(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(30));
}

TEST(the_first_rule_that_matches_decides) {
  FaultyDisk disk("read:ENOSPC:sectors=0-7+any:EIO");
  EXPECT_EQ(disk.read(0), ENOSPC);
  EXPECT_EQ(disk.read(4096), EIO);
  EXPECT_EQ(disk.write(0, pattern(1, 512)), EIO);
}

}  // namespace acrn::test
