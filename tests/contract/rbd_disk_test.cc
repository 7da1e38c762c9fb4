// RBD images as disks, on a real cluster of one node: what every backend keeps to, and an OSD that goes, hangs and
// comes back.
#include <chrono>
#include <cstdlib>
#include <string>

#include "dm/block/sources/rbd/rbd_module.h"
#include "tests/contract/block_backend_contract.h"
#include "tests/contract/block_rig.h"
#include "tests/support/ceph_cluster.h"
#include "tests/support/must.h"
#include "tests/support/wait_until.h"

namespace acrn::test {
namespace {

using contract::kContractSize;

// One for all tests of this program: it takes seconds to come up.
CephCluster& cluster() {
  static CephCluster made;
  return made;
}

const RbdModule& module() {
  ::setenv("ACRN_DM_MODULES", ACRN_TEST_MODULES, 1);
  const auto loaded = load_rbd_module();
  if (!loaded.ok()) SKIP(loaded.error().message);
  return *loaded.value();
}

// An image of that name, new.
RbdPlace make_image(const std::string& name, const std::string& options = "", unsigned mebibytes = 8) {
  cluster().rbd("create --size " + std::to_string(mebibytes) + "M " + options + " rbd/" + name);
  RbdPlace place;
  place.name = "rbd:rbd/" + name;
  place.pool = "rbd";
  place.image = name;
  place.conf = cluster().conf();
  place.writeback = true;
  place.patience = std::chrono::seconds(240);
  return place;
}

std::unique_ptr<BlockBackend> open_image(const RbdPlace& place) {
  BlockInfo info;
  info.read_only = place.read_only;
  return must(module().open(place, info));
}

std::string new_name() {
  static int count = 0;
  return "disk" + std::to_string(count++);
}

struct cached_image {
  std::unique_ptr<BlockBackend> backend = open_image(make_image(new_name()));
};
struct stable_image {
  std::unique_ptr<BlockBackend> backend = make();
  static std::unique_ptr<BlockBackend> make() {
    RbdPlace place = make_image(new_name());
    place.writeback = false;
    return open_image(place);
  }
};
ACRN_BLOCK_CONTRACT(cached_image);
ACRN_BLOCK_CONTRACT(stable_image);

std::string refusal(const RbdPlace& place) {
  const auto opened = module().open(place, {});
  EXPECT(!opened.ok());
  EXPECT(opened.error().message.find('\n') == std::string::npos);
  EXPECT(opened.error().message.starts_with("virtio-blk " + place.name + ": "));
  return opened.error().message;
}

TEST(what_cannot_be_served_is_refused_in_one_line) {
  RbdPlace place = make_image(new_name());
  place.image = "none";
  EXPECT_CONTAINS(refusal(place), "image none: No such file or directory");
  place.pool = "none";
  EXPECT_CONTAINS(refusal(place), "pool none: No such file or directory");
  place.conf = "/nowhere/ceph.conf";
  EXPECT_CONTAINS(refusal(place), "conf=/nowhere/ceph.conf: No such file or directory");
}

TEST(a_snapshot_stays_as_it_was) {
  RbdPlace place = make_image(new_name());
  const std::string name = place.image;
  {
    const auto backend = open_image(place);
    BlockRig rig(*backend);
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 65536))), 0);
    EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
    cluster().rbd("snap create rbd/" + name + "@monday");
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(2, 65536))), 0);
  }
  const std::string whole = must(module().inspect(place)).identity;
  place.snapshot = "monday";
  place.read_only = true;
  EXPECT_EQ(must(module().inspect(place)).identity, whole + "@monday");
  const auto backend = open_image(place);
  BlockRig rig(*backend);
  TestRequest read = TestRequest::read(0, 65536);
  EXPECT_EQ(rig.run(read), 0);
  EXPECT(read.data() == pattern(1, 65536));
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(3, 512))), EROFS);
  place.snapshot = "sunday";
  EXPECT_CONTAINS(refusal(place), "or snapshot sunday: No such file or directory");
}

TEST(an_image_is_written_by_one_disk_only) {
  const RbdPlace place = make_image(new_name());
  auto first = open_image(place);
  EXPECT_CONTAINS(refusal(place), "somebody else has its lock; free it, or give lock=off");
  EXPECT_EQ(must(module().inspect(place)).size, kContractSize);  // which is no use of it
  first.reset();
  first = open_image(place);
  RbdPlace shared = place;
  shared.lock = false;
  EXPECT(open_image(shared) != nullptr);
  EXPECT_CONTAINS(refusal(make_image(new_name(), "--image-feature layering")), "feature enable rbd/");
}

TEST(an_image_that_was_resized_is_seen_so) {
  const RbdPlace place = make_image(new_name());
  const auto backend = open_image(place);
  std::atomic<uint64_t> told{0};
  backend->on_new_size([&] { told = must(backend->refresh_size()); });
  cluster().rbd("resize --size 16M rbd/" + place.image);
  EXPECT(wait_until([&] { return told == 2 * kContractSize; }));
  backend->on_new_size({});
  cluster().rbd("resize --size 24M rbd/" + place.image);
  EXPECT(wait_until([&] { return must(backend->refresh_size()) == 3 * kContractSize; }));
  EXPECT_EQ(told.load(), 2 * kContractSize);
  BlockRig rig(*backend);
  EXPECT_EQ(rig.run(TestRequest::write(2 * kContractSize - 4096, pattern(1, 4096))), 0);
}

TEST(requests_wait_for_an_osd_that_is_killed_and_comes_back) {
  const RbdPlace place = make_image(new_name());
  const auto backend = open_image(place);
  BlockRig rig(*backend);
  for (uint64_t round = 0; round < 3; round++) {
    std::vector<TestRequest> writes;
    for (uint64_t i = 0; i < 200; i++) writes.push_back(TestRequest::write(i * 4096, pattern(round * 200 + i, 4096)));
    rig.start(writes);
    cluster().kill_osd();
    cluster().start_osd();
    rig.finish();
    for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
    EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
    cluster().kill_osd();  // what was flushed is on its medium
    cluster().start_osd();
    for (uint64_t i = 0; i < 200; i++) {
      TestRequest read = TestRequest::read(i * 4096, 4096);
      EXPECT_EQ(rig.run(read), 0);
      EXPECT(read.data() == pattern(round * 200 + i, 4096));
    }
  }
}

// So long, even on a busy host, that a cluster which is there has answered.
constexpr std::chrono::seconds kShort{5};

class PausedOsd {
 public:
  PausedOsd() { cluster().pause_osd(); }
  ~PausedOsd() { cluster().resume_osd(); }
  PausedOsd(const PausedOsd&) = delete;
  PausedOsd& operator=(const PausedOsd&) = delete;
};

TEST(requests_fail_when_an_osd_does_not_answer_in_time) {
  RbdPlace place = make_image(new_name());
  place.writeback = false;
  place.patience = kShort;
  const auto backend = open_image(place);
  BlockRig rig(*backend);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), 0);
  std::vector<TestRequest> requests;
  for (uint64_t i = 0; i < 50; i++) requests.push_back(TestRequest::read(i * 4096, 4096));
  {
    const PausedOsd paused;
    rig.run(requests);
  }
  for (const TestRequest& request : requests) EXPECT(request.error != 0);
  EXPECT(wait_until([&] { return rig.run(TestRequest::read(0, 4096)) == 0; }));
}

TEST(after_a_flush_that_failed_none_says_that_all_is_stable) {
  RbdPlace place = make_image(new_name());
  place.patience = kShort;
  const auto backend = open_image(place);
  BlockRig rig(*backend), other(*backend);
  EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), 0);
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);  // from here on the cache holds writes back
  {
    const PausedOsd paused;
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(2, 4096))), 0);
    EXPECT(rig.run(TestRequest(BlockOp::kFlush, 0, 0)) != 0);
  }
  EXPECT(wait_until([&] { return rig.run(TestRequest::write(4096, pattern(3, 4096))) == 0; }));
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
  EXPECT_EQ(other.run(TestRequest(BlockOp::kFlush, 0, 0)), EIO);
}

TEST(a_cache_that_the_image_asks_for_holds_no_stable_write_back) {
  RbdPlace place = make_image(new_name());
  for (const char* setting : {"rbd_cache true", "rbd_cache_writethrough_until_flush false"}) {
    cluster().rbd("config image set rbd/" + place.image + " " + setting);
  }
  place.writeback = false;
  place.patience = kShort;
  const auto backend = open_image(place);
  BlockRig rig(*backend);
  TestRequest write = TestRequest::write(0, pattern(1, 4096));
  write.stable = true;
  EXPECT_EQ(rig.run(write), 0);
  {
    const PausedOsd paused;
    EXPECT(rig.run(write) != 0);
  }
  EXPECT(wait_until([&] { return rig.run(write) == 0; }));
}

}  // namespace
}  // namespace acrn::test
