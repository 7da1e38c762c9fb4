// Exports of NBD servers as disks: what every backend keeps to, with servers that go, come back, hang and fail.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>

#include "dm/base/log_setup.h"
#include "dm/block/open.h"
#include "dm/block/sources/nbd/nbd_connector.h"
#include "tests/contract/block_backend_contract.h"
#include "tests/contract/block_rig.h"
#include "tests/contract/lost_server_contract.h"
#include "tests/support/must.h"
#include "tests/support/nbd_server.h"
#include "tests/support/temp_dir.h"

namespace acrn::test {
namespace {

using contract::kContractSize;

BlockOptions nbd_options(const NbdServer& server, unsigned reconnect = 20) {
  static const bool quiet = setup_logging({.console = 1}, "").ok();
  EXPECT(quiet);
  BlockOptions options;
  options.source = NbdUri{server.uri()};
  options.reconnect = reconnect;
  return options;
}

struct memory_of_nbdkit {
  NbdServer server{NbdServer::memory("8M")};
  std::unique_ptr<BlockBackend> backend = open_backend(nbd_options(server));
};

struct file_of_qemu_nbd {
  TempDir dir;
  NbdServer server{NbdServer::file(dir.file("disk", kContractSize))};
  std::unique_ptr<BlockBackend> backend = open_backend(nbd_options(server));
};

// What is not a multiple of 4096 is read and written back.
struct blocks_of_4096_bytes {
  NbdServer server{NbdServer::memory("8M", {"blocksize-policy"},
                                     {"blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=65536",
                                      "blocksize-error-policy=error"})};
  std::unique_ptr<BlockBackend> backend = open_backend(nbd_options(server));
};

// A stable write is one that is followed by a flush.
struct without_fua {
  NbdServer server{NbdServer::memory("8M", {"fua", "nozero"})};
  std::unique_ptr<BlockBackend> backend = open_backend(nbd_options(server));
};

ACRN_BLOCK_CONTRACT(memory_of_nbdkit);
ACRN_BLOCK_CONTRACT(file_of_qemu_nbd);
ACRN_BLOCK_CONTRACT(blocks_of_4096_bytes);
ACRN_BLOCK_CONTRACT(without_fua);

TEST(requests_wait_for_a_server_that_is_killed_and_comes_back) {
  const TempDir dir;
  NbdServer server(NbdServer::file(dir.file("disk", kContractSize)));
  const auto backend = open_backend(nbd_options(server));
  contract::requests_wait_for_a_server_that_is_killed_and_comes_back(server, *backend);
}

TEST(a_flush_does_not_say_stable_of_writes_that_a_lost_server_had) {
  const TempDir dir;
  NbdServer server(NbdServer::file(dir.file("disk", kContractSize)));
  const auto backend = open_backend(nbd_options(server));
  contract::a_flush_does_not_say_stable_of_writes_that_a_lost_server_had(server, *backend);
}

TEST(requests_fail_when_the_server_does_not_come_back_in_time) {
  for (const unsigned seconds : {0u, 1u}) {
    NbdServer server(NbdServer::memory("8M"));
    const auto backend = open_backend(nbd_options(server, seconds));
    contract::requests_fail_when_the_server_does_not_come_back_in_time(server, *backend);
  }
}

TEST(a_server_that_pauses_delays_and_loses_nothing) {
  NbdServer server(NbdServer::memory("8M"));
  const auto backend = open_backend(nbd_options(server));
  contract::a_server_that_pauses_delays_and_loses_nothing(server, *backend);
}

TEST(an_error_of_the_server_is_that_requests_alone) {
  for (const char* kind : {"pread", "pwrite", "trim", "zero"}) {
    NbdServer server(NbdServer::memory("8M", {"error"}, {"error-" + std::string(kind) + "-rate=100%", "error=ENOSPC"}));
    const auto backend = open_backend(nbd_options(server));
    BlockRig rig(*backend);
    const std::string failing(kind);
    const auto expected = [&](const char* which) { return failing == which ? ENOSPC : 0; };
    EXPECT_EQ(rig.run(TestRequest::write(0, pattern(1, 4096))), expected("pwrite"));
    EXPECT_EQ(rig.run(TestRequest::read(0, 4096)), expected("pread"));
    EXPECT_EQ(rig.run(TestRequest(BlockOp::kDiscard, 0, 65536)), expected("trim"));
    EXPECT_EQ(rig.run(TestRequest(BlockOp::kWriteZeroes, 0, 65536)), expected("zero"));
    EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
  }
}

TEST(a_server_that_says_that_it_shuts_down_is_waited_for) {
  const TempDir dir;
  NbdServer server(
      {"nbdkit", "--foreground", "--exit-with-parent", "--unix", "SOCKET", "file", dir.file("disk", kContractSize)});
  const auto backend = open_backend(nbd_options(server));
  BlockRig rig(*backend);
  for (int round = 0; round < 5; round++) {
    std::vector<TestRequest> writes;
    for (uint64_t i = 0; i < 200; i++) writes.push_back(stable_write(i * 4096, pattern(i, 4096)));
    rig.start(writes);
    server.end(SIGTERM);
    server.start();
    rig.finish();
    for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
    EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
  }
}

TEST(an_export_that_has_grown_is_served_to_its_new_end_without_a_gap) {
  const TempDir dir;
  const std::string path = dir.file("disk", 4 << 20);
  NbdServer server({"nbdkit", "--foreground", "--exit-with-parent", "--unix", "SOCKET", "file", path});
  const auto backend = open_backend(nbd_options(server));
  BlockRig rig(*backend);
  std::vector<TestRequest> writes;
  for (uint64_t i = 0; i < 500; i++) writes.push_back(TestRequest::write(i * 4096, pattern(i, 4096)));
  rig.start(writes);
  EXPECT(::truncate(path.c_str(), 8 << 20) == 0);
  EXPECT_EQ(must(backend->refresh_size()), 8u << 20);
  rig.finish();
  for (const TestRequest& write : writes) EXPECT_EQ(write.error, 0);
  EXPECT(wait_until([&] { return rig.run(TestRequest::write((8 << 20) - 4096, pattern(1, 4096))) == 0; }));
  EXPECT_EQ(rig.run(TestRequest(BlockOp::kFlush, 0, 0)), 0);
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
  BlockOptions nobody;
  nobody.source = NbdUri{"nbd+unix:///?socket=" + dir.path("none")};
  EXPECT_CONTAINS(refusal(nobody), "No such file or directory");
  nobody.source = NbdUri{"nbd://127.0.0.1:1/x"};
  EXPECT_CONTAINS(refusal(nobody), "Connection refused");

  NbdServer read_only([&] {
    auto command = NbdServer::memory("8M");
    command.insert(command.begin() + 1, "--readonly");
    return command;
  }());
  EXPECT_CONTAINS(refusal(nbd_options(read_only)), "the export is read-only; give ro");
  BlockOptions options = nbd_options(read_only);
  options.read_only = true;
  const auto disk = must(open_disk(options, "0:9:0"));
  EXPECT(disk.facts.info.read_only);
  EXPECT_EQ(disk.facts.medium, "nbd");

  NbdServer odd(NbdServer::memory("1000"));
  EXPECT_CONTAINS(refusal(nbd_options(odd)), "size 1000 is not a multiple of 512 bytes; range=0/1 leaves");
}

// A doorbell may ring without need.
TEST(a_connector_has_an_outcome_once_and_only_when_there_is_one) {
  struct Bell final : Notifier {
    void notify() override { rung = true; }
    int fd() const override { return -1; }
    std::atomic<bool> rung = false;
  };
  NbdServer server(NbdServer::memory("8M"));
  Bell bell;
  NbdConnector connector(server.uri(), bell);
  for (int round = 0; round < 3; round++) {
    EXPECT(!connector.take().has_value());
    connector.start();
    EXPECT(wait_until([&] { return bell.rung.exchange(false); }));
    const auto outcome = connector.take();
    EXPECT(outcome.has_value() && outcome->ok() && outcome->value() != nullptr);
  }
  EXPECT(!connector.take().has_value());
}

// A server that wants TLS, and keys that it takes.
struct TlsServer {
  explicit TlsServer(const std::string& folder)
      : psk(folder + "/keys.psk"), server([&] {
          std::ofstream(psk) << "guest:0123456789abcdef0123456789abcdef\n";
          std::ofstream(folder + "/wrong.psk") << "guest:ffffffffffffffffffffffffffffffff\n";
          auto command = NbdServer::memory("8M");
          command.insert(command.begin() + 1, {"--tls=require", "--tls-psk=" + psk});
          return command;
        }()) {}
  BlockOptions options(const std::string& scheme, const std::string& keys) const {
    BlockOptions options = nbd_options(server);
    options.source = NbdUri{scheme + "://guest@/?socket=" + server.socket() + "&tls-psk-file=" + keys};
    return options;
  }

  const std::string psk;
  NbdServer server;
};

struct export_over_tls {
  TempDir dir;
  TlsServer tls{dir.path("")};
  std::unique_ptr<BlockBackend> backend = open_backend(tls.options("nbds+unix", tls.psk));
};
ACRN_BLOCK_CONTRACT(export_over_tls);

TEST(a_server_that_wants_tls_is_served_with_the_right_keys_only) {
  const TempDir dir;
  const TlsServer tls(dir.path(""));
  EXPECT_CONTAINS(refusal(tls.options("nbds+unix", dir.path("wrong.psk"))), "virtio-blk nbds+unix://");
  EXPECT_CONTAINS(refusal(tls.options("nbds+unix", dir.path("none.psk"))), "virtio-blk nbds+unix://");
  EXPECT_CONTAINS(refusal(nbd_options(tls.server)), "virtio-blk nbd+unix://");
  // Nor does one get by without, that wants it.
  NbdServer plain(NbdServer::memory("8M"));
  BlockOptions options = nbd_options(plain);
  options.source = NbdUri{"nbds+unix://guest@/?socket=" + plain.socket() + "&tls-psk-file=" + tls.psk};
  EXPECT_CONTAINS(refusal(options), "TLS");
}

TEST(requests_wait_for_a_tls_server_that_is_killed_and_comes_back) {
  const TempDir dir;
  TlsServer tls(dir.path(""));
  const auto backend = open_backend(tls.options("nbds+unix", tls.psk));
  BlockRig rig(*backend);
  for (int round = 0; round < 3; round++) {
    std::vector<TestRequest> requests = reads(100);
    rig.start(requests);
    tls.server.end(SIGKILL);
    tls.server.start();
    rig.finish();
    for (const TestRequest& request : requests) EXPECT_EQ(request.error, 0);
  }
}

TEST(a_window_of_an_export_is_served) {
  NbdServer server(NbdServer::memory("8M"));
  BlockOptions options = nbd_options(server);
  const auto whole = open_backend(options);
  options.range = BlockRange{8, 16};
  const auto window = open_backend(options);
  EXPECT_EQ(window->info().size, 16u * 512);
  BlockRig left(*whole), right(*window);
  EXPECT_EQ(right.run(TestRequest::write(512, pattern(1, 512))), 0);
  TestRequest read = TestRequest::read(9 * 512, 512);
  EXPECT_EQ(left.run(read), 0);
  EXPECT(read.data() == pattern(1, 512));
}

TEST(a_server_that_takes_one_connection_has_one_loop) {
  const TempDir dir;
  NbdServer server(
      {"qemu-nbd", "--persistent", "--shared=1", "--socket=SOCKET", "--format=raw", dir.file("disk", 1 << 20)});
  const auto backend = open_backend(nbd_options(server));
  BlockRig first(*backend);
  const auto loop = must(EpollLoop::create("second", {}));
  loop->run([&] {
    const auto second = backend->open_channel(*loop, 4);
    EXPECT(!second.ok());
    EXPECT_CONTAINS(second.error().message, "give iothread=1");
  });
  EXPECT_EQ(first.run(TestRequest::read(0, 4096)), 0);
}

}  // namespace
}  // namespace acrn::test
