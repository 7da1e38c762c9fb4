// What vhost-user-blk back ends serve, as disks: what every backend keeps to, with back ends that go, come back and
// hang.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "acrn/virtio/virtio_spec.h"
#include "dm/base/log_setup.h"
#include "dm/block/open.h"
#include "dm/mem/guest_ram.h"
#include "tests/contract/block_backend_contract.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/lost_server_contract.h"
#include "tests/support/in_guest_ram.h"
#include "tests/support/must.h"
#include "tests/support/nbd_server.h"
#include "tests/support/scripted_back_end.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhost_user_back_end.h"

namespace acrn::test {
namespace {

using contract::kContractSize;

BlockOptions back_end_options(const std::string& socket, unsigned reconnect = 20) {
  static const bool quiet = setup_logging({.console = 1}, "").ok();
  EXPECT(quiet);
  BlockOptions options;
  options.source = VhostUserSocket{socket};
  options.reconnect = reconnect;
  options.queues = 4;
  return options;
}

// The guest's memory is shared, and requests' data is there.
std::unique_ptr<BlockBackend> open_sharing(BlockOptions options) {
  options.share = true;
  return in_guest_ram(open_backend(options));
}

std::unique_ptr<BlockBackend> open_backend_of(BlockOptions options) { return open_backend(options); }

struct storage_daemon {
  TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
  std::unique_ptr<BlockBackend> backend = open_backend(back_end_options(server.socket()));
};

// What is not a multiple of 4096 is read and written back.
struct blocks_of_4096_bytes {
  TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize),
                                                             "writable=on,num-queues=4,logical-block-size=4096");
  std::unique_ptr<BlockBackend> backend = open_backend(back_end_options(server.socket()));
};

struct ours {
  TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::ours(dir.file("disk", kContractSize) + ",writeback,discard,mq=4");
  std::unique_ptr<BlockBackend> backend = open_backend(back_end_options(server.socket()));
};

// No DISCARD and no WRITE_ZEROES: zeroes are written.
struct ours_without_discard {
  TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::ours(dir.file("disk", kContractSize) + ",mq=4");
  std::unique_ptr<BlockBackend> backend = open_backend(back_end_options(server.socket()));
};

struct storage_daemon_that_shares {
  TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
  std::unique_ptr<BlockBackend> backend = open_sharing(back_end_options(server.socket()));
};

struct ours_that_shares {
  TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::ours(dir.file("disk", kContractSize) + ",mq=4");
  std::unique_ptr<BlockBackend> backend = open_sharing(back_end_options(server.socket()));
};

ACRN_BLOCK_CONTRACT(storage_daemon);
ACRN_BLOCK_CONTRACT(blocks_of_4096_bytes);
ACRN_BLOCK_CONTRACT(ours);
ACRN_BLOCK_CONTRACT(ours_without_discard);
ACRN_BLOCK_CONTRACT(storage_daemon_that_shares);
ACRN_BLOCK_CONTRACT(ours_that_shares);

TEST(requests_wait_for_a_storage_daemon_that_is_killed_and_comes_back) {
  for (const auto open : {open_backend_of, open_sharing}) {
    const TempDir dir;
    VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
    const auto backend = open(back_end_options(server.socket()));
    contract::requests_wait_for_a_server_that_is_killed_and_comes_back(server, *backend);
  }
}

TEST(requests_wait_for_our_program_that_is_killed_and_comes_back) {
  const TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::ours(dir.file("disk", kContractSize) + ",writeback,mq=4");
  const auto backend = open_backend(back_end_options(server.socket()));
  contract::requests_wait_for_a_server_that_is_killed_and_comes_back(server, *backend);
}

TEST(a_flush_does_not_say_stable_of_writes_that_a_lost_back_end_had) {
  const TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
  const auto backend = open_backend(back_end_options(server.socket()));
  contract::a_flush_does_not_say_stable_of_writes_that_a_lost_server_had(server, *backend);
}

TEST(requests_fail_when_the_back_end_does_not_come_back_in_time) {
  const TempDir dir;
  const std::string disk = dir.file("disk", kContractSize);
  for (const unsigned seconds : {0u, 1u}) {
    VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(disk);
    const auto backend = open_backend(back_end_options(server.socket(), seconds));
    contract::requests_fail_when_the_server_does_not_come_back_in_time(server, *backend);
  }
}

TEST(a_back_end_that_pauses_delays_and_loses_nothing) {
  for (const auto open : {open_backend_of, open_sharing}) {
    const TempDir dir;
    VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
    const auto backend = open(back_end_options(server.socket()));
    contract::a_server_that_pauses_delays_and_loses_nothing(server, *backend);
  }
}

// It takes the 30 s after which a back end counts as lost.
TEST(requests_fail_when_the_back_end_stays_paused) {
  const TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
  const auto backend = open_backend(back_end_options(server.socket(), 1));
  BlockRig rig(*backend);
  server.signal(SIGSTOP);
  std::vector<TestRequest> requests = reads(100);
  rig.run(requests);
  for (const TestRequest& request : requests) EXPECT_EQ(request.error, EIO);
  server.signal(SIGCONT);
  EXPECT(wait_until([&] { return rig.run(TestRequest::read(0, 512)) == 0; }));
}

TEST(a_disk_that_has_grown_is_served_to_its_new_end) {
  const TempDir dir;
  const std::string path = dir.file("disk", 4 << 20);
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(path);
  const auto backend = open_backend(back_end_options(server.socket()));
  BlockRig rig(*backend);
  EXPECT_EQ(rig.run(TestRequest::read(8 << 20, 512)), EIO);
  server.end(SIGTERM);
  EXPECT(::truncate(path.c_str(), 8 << 20) == 0);
  server.start();
  EXPECT(wait_until([&] {
    const auto size = backend->refresh_size();
    return size && size.value() == 8u << 20;
  }));
  EXPECT_EQ(rig.run(TestRequest::write((8 << 20) - 4096, pattern(1, 4096))), 0);
  EXPECT_EQ(backend->info().size, 8u << 20);
}

std::string refusal(const BlockOptions& options) {
  const auto opened = open_disk(options, "0:9:0");
  const auto inspected = inspect_disk(options, "0:9:0");
  EXPECT(!opened.ok() && !inspected.ok());
  EXPECT(opened.error().kind == inspected.error().kind);
  EXPECT(opened.error().message.find('\n') == std::string::npos);
  return opened.error().message;
}

TEST(what_cannot_be_served_is_refused_in_one_line) {
  const TempDir dir;
  EXPECT_CONTAINS(refusal(back_end_options(dir.path("none"))), "nobody serves there: No such file or directory");
  EXPECT_CONTAINS(refusal(back_end_options(dir.file("plain", 512))), "nobody serves there: Connection refused");
  EXPECT_CONTAINS(refusal(back_end_options(std::string(200, 'x'))), "too long for a socket's path");

  // An NBD server speaks first, and waits for an answer of its own kind.
  const NbdServer other(NbdServer::memory("8M"));
  EXPECT_CONTAINS(refusal(back_end_options(other.socket())), "is none of vhost-user");

  const std::string disk = dir.file("disk", 1 << 20);
  const auto read_only = VhostUserBackEnd::storage_daemon(disk, "writable=off");
  BlockOptions options = back_end_options(read_only.socket());
  EXPECT_CONTAINS(refusal(options), "the disk is read-only; give ro");
  options.read_only = true;
  const auto opened = must(open_disk(options, "0:9:0"));
  EXPECT(opened.facts.info.read_only);
  EXPECT_EQ(opened.facts.medium, "vhost-user");
  EXPECT_EQ(opened.facts.identity, "vhost-user:" + read_only.socket() + ":whole");
}

TEST(a_window_of_a_disk_is_served) {
  const TempDir dir;
  const auto server = VhostUserBackEnd::ours(dir.file("disk", kContractSize));
  BlockOptions options = back_end_options(server.socket());
  options.range = BlockRange{8, 16};
  const std::vector<uint8_t> bytes = pattern(1, 512);
  {
    const auto window = open_backend(options);
    EXPECT_EQ(window->info().size, 16u * 512);
    BlockRig rig(*window);
    EXPECT_EQ(rig.run(TestRequest::write(512, bytes)), 0);
    EXPECT_EQ(rig.run(TestRequest::read(16 * 512, 512)), EINVAL);
  }
  options.range.reset();
  const auto whole = open_backend(options);
  BlockRig rig(*whole);
  TestRequest read = TestRequest::read(9 * 512, 512);
  EXPECT_EQ(rig.run(read), 0);
  EXPECT(read.data() == bytes);
}

TEST(a_back_end_with_one_queue_has_one_loop) {
  const TempDir dir;
  const auto server = VhostUserBackEnd::storage_daemon(dir.file("disk", 1 << 20), "writable=on");
  const auto backend = open_backend(back_end_options(server.socket()));
  BlockRig first(*backend);
  const auto loop = must(EpollLoop::create("second", {}));
  loop->run([&] {
    const auto second = backend->open_channel(*loop, 4);
    EXPECT(!second.ok());
    EXPECT_CONTAINS(second.error().message, "give iothread=1");
  });
  EXPECT_EQ(first.run(TestRequest::read(0, 4096)), 0);
}

using Mischief = ScriptedBackEnd::Mischief;

ScriptedBackEnd::Script script(Mischief mischief = Mischief::kNone) {
  ScriptedBackEnd::Script made{};
  made.config = ScriptedBackEnd::config(2048);
  made.mischief = mischief;
  return made;
}

void expect_serves(BlockRig& rig) {
  const std::vector<uint8_t> bytes = pattern(7, 300 << 10);
  EXPECT_EQ(rig.run(TestRequest::write(512, bytes)), 0);
  TestRequest read = TestRequest::read(512, bytes.size());
  EXPECT_EQ(rig.run(read), 0);
  EXPECT(read.data() == bytes);
}

TEST(a_back_end_that_writes_nonsense_into_its_ring_is_lost_and_its_requests_go_to_the_next) {
  for (const Mischief mischief : {Mischief::kNone, Mischief::kIndexJumps, Mischief::kIdOutOfRange,
                                  Mischief::kIdNotInFlight, Mischief::kSameIdTwice, Mischief::kLengthTooLong,
                                  Mischief::kBadStatus, Mischief::kNoStatus, Mischief::kHangsUp}) {
    for (const auto open : {open_backend_of, open_sharing}) {
      const ScriptedBackEnd server(script(mischief));
      const auto backend = open(back_end_options(server.socket()));
      BlockRig rig(*backend);
      expect_serves(rig);
      EXPECT_EQ(server.clients() == 1, mischief == Mischief::kNone);
    }
  }
}

// Regions of guests' RAM that the process has mapped.
size_t regions_in(pid_t process) {
  std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("/memfd:guest-ram") != std::string::npos;
  return count;
}

TEST(a_back_end_sees_the_guests_memory_only_if_that_is_said) {
  const TempDir dir;
  for (const bool share : {false, true}) {
    VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
    BlockOptions options = back_end_options(server.socket());
    options.share = share;
    const auto backend = in_guest_ram(open_backend(options));
    EXPECT_EQ(regions_in(server.process()), share ? 2u : 1u);  // one is what rings and copies are in
  }
}

TEST(memory_that_is_replaced_is_no_longer_seen_and_the_new_is) {
  const TempDir dir;
  VhostUserBackEnd server = VhostUserBackEnd::storage_daemon(dir.file("disk", kContractSize));
  BlockOptions options = back_end_options(server.socket());
  options.share = true;
  const auto backend = open_backend(options);
  BlockRig rig(*backend);
  for (unsigned round = 1; round < 20; round++) {
    std::vector<MemoryRegion> regions;  // sometimes more than a back end has room for
    for (unsigned i = 0; i < round; i++) {
      regions.push_back(must(create_shared_ram(Gpa{uint64_t{i} << 30}, (i + 1) << 20)));
    }
    backend->use_memory(std::make_shared<const MemoryMap>(regions));
    EXPECT_EQ(regions_in(server.process()), 1u + std::min(round, 7u));
    for (const MemoryRegion& region : regions) {
      // Of two regions, and of none.
      std::vector<uint8_t> own(512);
      const std::array<iovec, 3> place{{{region.host, 3000}, {regions[0].host + 5000, 4680}, {own.data(), own.size()}}};
      const uint64_t bytes = 8192;
      const std::vector<uint8_t> wanted = pattern(round, bytes);
      EXPECT_EQ(rig.run(TestRequest::write(4096, wanted)), 0);
      TestRequest read(BlockOp::kRead, 4096, bytes);
      read.iov = place;
      EXPECT_EQ(rig.run(read), 0);
      EXPECT(std::memcmp(region.host, wanted.data(), 3000) == 0);
      EXPECT(std::memcmp(regions[0].host + 5000, wanted.data() + 3000, 4680) == 0);
      EXPECT(std::memcmp(own.data(), wanted.data() + 7680, 512) == 0);
    }
  }
}

TEST(a_back_end_that_always_writes_nonsense_makes_nobody_wait_for_ever) {
  for (const Mischief mischief : {Mischief::kIdOutOfRange, Mischief::kBadStatus, Mischief::kHangsUp}) {
    ScriptedBackEnd::Script always = script(mischief);
    always.always = true;
    const ScriptedBackEnd server(always);
    const auto backend = open_backend(back_end_options(server.socket(), 1));
    BlockRig rig(*backend);
    std::vector<TestRequest> requests = reads(100);
    rig.run(requests);
    for (const TestRequest& request : requests) EXPECT_EQ(request.error, EIO);
  }
}

// A request of many commands begins again with each connection.
TEST(a_back_end_that_answers_one_command_and_goes_makes_nobody_wait_for_ever) {
  ScriptedBackEnd::Script always = script(Mischief::kAnswersAndHangsUp);
  always.always = true;
  const ScriptedBackEnd server(always);
  const auto backend = open_backend(back_end_options(server.socket(), 1));
  BlockRig rig(*backend);
  EXPECT_EQ(rig.run(TestRequest::read(0, 1 << 20)), EIO);
  EXPECT(server.clients() > 2);
}

TEST(a_read_that_is_answered_without_its_data_fails_alone) {
  const ScriptedBackEnd server(script(Mischief::kLengthTooShort));
  const auto backend = open_backend(back_end_options(server.socket()));
  BlockRig rig(*backend);
  for (int again = 0; again < 3; again++) {
    EXPECT_EQ(rig.run(TestRequest::read(0, 4096)), EIO);
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), 0);
  }
  EXPECT_EQ(server.clients(), 1u);
}

TEST(descriptors_that_come_unasked_are_closed) {
  const auto open_descriptors = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  for (const unsigned gifts : {1u, 2u, 8u}) {
    const auto before = open_descriptors();
    {
      ScriptedBackEnd::Script generous = script();
      generous.gifts = gifts;
      const ScriptedBackEnd server(generous);
      const auto backend = open_backend(back_end_options(server.socket()));
      BlockRig rig(*backend);
      expect_serves(rig);
    }
    EXPECT_EQ(open_descriptors(), before);
  }
}

TEST(requests_are_as_small_as_the_back_end_wants_them) {
  ScriptedBackEnd::Script small = script();
  small.features = feature(VIRTIO_BLK_F_SIZE_MAX);
  small.config.size_max = 1500;
  const ScriptedBackEnd server(small);
  const auto backend = open_backend(back_end_options(server.socket()));
  BlockRig rig(*backend);
  expect_serves(rig);
}

TEST(a_configuration_that_no_disk_has_is_refused_in_one_line) {
  const auto refusal_of = [](auto change) {
    ScriptedBackEnd::Script changed = script();
    change(changed);
    const ScriptedBackEnd server(changed);
    return refusal(back_end_options(server.socket()));
  };
  EXPECT_CONTAINS(refusal_of([](auto& it) { it.config.capacity = 0; }), "the disk is empty");
  EXPECT_CONTAINS(refusal_of([](auto& it) { it.config.capacity = uint64_t{1} << 63; }), "which no disk has");
  for (const uint32_t block : {0u, 3u, 256u, 1u << 31}) {
    EXPECT_CONTAINS(refusal_of([&](auto& it) {
                      it.features = feature(VIRTIO_BLK_F_BLK_SIZE);
                      it.config.blk_size = block;
                    }),
                    "512 to 65536 can be served");
  }
  EXPECT_CONTAINS(refusal_of([](auto& it) {
                    it.features = feature(VIRTIO_BLK_F_SIZE_MAX);
                    it.config.size_max = 100;
                  }),
                  "only 100 bytes at once");
  EXPECT_CONTAINS(refusal_of([](auto& it) { it.queues = 0; }), "the server has no queue");
}

TEST(a_back_end_that_breaks_off_at_any_message_is_tried_again_or_refused_in_one_line) {
  const auto expect_served_or_refused = [](const ScriptedBackEnd::Script& broken) {
    const ScriptedBackEnd server(broken);
    const auto opened = open_disk(back_end_options(server.socket()), "0:9:0");
    if (!opened) {
      EXPECT(opened.error().message.find('\n') == std::string::npos);
      return;
    }
    BlockRig rig(*opened.value().backend);
    expect_serves(rig);
  };
  for (unsigned message = 1; message <= 16; message++) {
    ScriptedBackEnd::Script broken = script();
    broken.hang_up_at = message;
    expect_served_or_refused(broken);
    broken.hang_up_at = 0;
    broken.garble_at = message;
    expect_served_or_refused(broken);
  }
}

}  // namespace
}  // namespace acrn::test
