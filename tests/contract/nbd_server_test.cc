// A disk as an NBD export: what every backend keeps to, through our own client; and clients that do what none should.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "dm/base/log_setup.h"
#include "dm/block/open.h"
#include "dm/block/open_disk_map.h"
#include "dm/block/sources/ram_disk.h"
#include "dm/server/nbd/server.h"
#include "tests/contract/block_backend_contract.h"
#include "tests/contract/block_rig.h"
#include "tests/support/filter_fault.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

namespace acrn::test {
namespace {

using contract::kContractSize;
using namespace acrn::nbd;

constexpr size_t kReplySize = 16, kChunkSize = 20;  // bytes of a simple reply, and of a chunk without its payload

// A RAM disk that fails and holds back what the plan says, at a socket.
struct Export {
  explicit Export(BlockOptions given = {}, uint64_t size = kContractSize) : options(std::move(given)) {
    static const bool quiet = setup_logging({.console = 1}, "").ok();
    EXPECT(quiet);
    options.discard = DiscardLimits{};
    BlockInfo info;
    info.size = size;
    info.read_only = options.read_only;
    disk = make_filter_fault(must(make_ram_disk(info)), plan);
    server = must(NbdServer::create("0:9:0", *loop));
    must(server->serve(*disk, nullptr, options, path));
  }
  UniqueFd connect() const { return connect_to(path); }
  BlockOptions client_options() const {
    BlockOptions client;
    client.source = NbdUri{"nbd+unix:///?socket=" + path};
    client.writeback = true;
    client.read_only = options.read_only;
    client.discard = DiscardLimits{};
    client.reconnect = 0;
    return client;
  }

  TempDir dir;
  const std::string path = dir.path("disk.sock");
  BlockOptions options;
  std::shared_ptr<FaultPlan> plan = std::make_shared<FaultPlan>();
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("queues", {}, kLoop));
  std::unique_ptr<BlockBackend> disk;
  std::unique_ptr<BlockServer> server;
};

struct export_of_ours {
  Export server;
  std::unique_ptr<BlockBackend> backend = open_backend(server.client_options());
};
ACRN_BLOCK_CONTRACT(export_of_ours);

void put(UniqueFd& socket, const std::vector<uint8_t>& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t size = ::send(socket.fd(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size <= 0) return;  // it was dropped
    sent += static_cast<size_t>(size);
  }
}

// So many bytes; fewer, if the connection has ended.
std::vector<uint8_t> get(UniqueFd& socket, size_t size) {
  std::vector<uint8_t> bytes(size);
  size_t received = 0;
  while (received < size) {
    const ssize_t part = ::recv(socket.fd(), bytes.data() + received, size - received, 0);
    if (part <= 0) break;
    received += static_cast<size_t>(part);
  }
  bytes.resize(received);
  return bytes;
}

bool is_dropped(UniqueFd& socket) {
  while (!get(socket, 4096).empty()) {
  }
  return true;  // connect_to() has made it patient for 20 s, and the test's own time limit is behind that
}

std::vector<uint8_t> option(Option what, const std::vector<uint8_t>& data = {}) {
  std::vector<uint8_t> bytes;
  put_number(bytes, kOptionMagic);
  put_number(bytes, static_cast<uint32_t>(what));
  put_number(bytes, static_cast<uint32_t>(data.size()));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

// The kind of the next answer to an option, which has so many bytes of data.
OptionReply next_answer(UniqueFd& socket) {
  const auto header = get(socket, 20);
  EXPECT_EQ(header.size(), 20u);
  std::span<const uint8_t> rest(header);
  EXPECT_EQ(take_number<uint64_t>(rest), kOptionReplyMagic);
  take_number<uint32_t>(rest);
  const auto kind = static_cast<OptionReply>(take_number<uint32_t>(rest));
  const auto size = take_number<uint32_t>(rest);
  EXPECT_EQ(get(socket, size).size(), size);
  return kind;
}

void greet(UniqueFd& socket) {
  EXPECT_EQ(get(socket, 18).size(), 18u);
  put(socket, {0, 0, 0, kFixedNewstyle | kNoZeroes});
}

// As far as its first request.
UniqueFd client_of(const Export& server) {
  UniqueFd socket = server.connect();
  greet(socket);
  put(socket, option(Option::kGo, std::vector<uint8_t>(6)));
  while (next_answer(socket) == OptionReply::kInfo) {
  }
  return socket;
}

std::vector<uint8_t> request(Command command, uint64_t offset, uint32_t length, uint64_t cookie = 7,
                             uint16_t flags = 0) {
  std::vector<uint8_t> bytes;
  put_number(bytes, kRequestMagic);
  put_number(bytes, flags);
  put_number(bytes, static_cast<uint16_t>(command));
  put_number(bytes, cookie);
  put_number(bytes, offset);
  put_number(bytes, length);
  return bytes;
}

WireError error_of(UniqueFd& socket) {
  const auto reply = get(socket, kReplySize);
  EXPECT_EQ(reply.size(), kReplySize);
  std::span<const uint8_t> rest(reply);
  EXPECT_EQ(take_number<uint32_t>(rest), kReplyMagic);
  return static_cast<WireError>(take_number<uint32_t>(rest));
}

WireError answer_to(UniqueFd& socket, const std::vector<uint8_t>& asked) {
  put(socket, asked);
  return error_of(socket);
}

bool still_serves(const Export& server) {
  UniqueFd socket = client_of(server);
  if (answer_to(socket, request(Command::kRead, 0, 512)) != WireError::kNone) return false;
  return get(socket, 512).size() == 512;
}

TEST(a_client_that_does_not_speak_the_protocol_is_dropped_alone) {
  const Export server;
  const std::vector<std::vector<uint8_t>> nonsense{std::vector<uint8_t>(4, 0xff),  // flags that there are not
                                                   std::vector<uint8_t>(4096, 0),  // options without their magic number
                                                   [] {                            // an option of 4 GiB
                                                     std::vector<uint8_t> bytes{0, 0, 0, 3};
                                                     put_number(bytes, kOptionMagic);
                                                     put_number<uint32_t>(bytes, 7);
                                                     put_number<uint32_t>(bytes, 0xffff'ffff);
                                                     return bytes;
                                                   }()};
  for (const auto& bytes : nonsense) {
    UniqueFd socket = server.connect();
    EXPECT_EQ(get(socket, 18).size(), 18u);
    put(socket, bytes);
    EXPECT(is_dropped(socket));
  }
  UniqueFd socket = client_of(server);
  put(socket, std::vector<uint8_t>(kRequestSize, 1));
  EXPECT(is_dropped(socket));
  UniqueFd greedy = client_of(server);
  put(greedy, request(Command::kRead, 0, kMostPayload + 1));
  EXPECT(is_dropped(greedy));
  EXPECT(still_serves(server));
}

// Everything is there at once, so that what follows a breach is looked at in the same turn.
TEST(nothing_is_taken_of_a_client_any_more_that_has_broken_the_protocol) {
  const Export server;
  const auto with_magic = [](std::vector<uint8_t> bytes, uint8_t magic) {
    bytes[0] = magic;
    return bytes;
  };
  const std::vector<uint8_t> too_long = request(Command::kRead, 0, 64 << 20),
                             no_read = with_magic(request(Command::kRead, 0, 4 << 20), 0xde),
                             no_write = with_magic(request(Command::kWrite, 0, 512), 0xde);
  for (const std::vector<uint8_t>& breach : {too_long, no_read, no_write}) {
    for (int again = 0; again < 20; again++) {
      UniqueFd socket = server.connect();
      std::vector<uint8_t> all{0, 0, 0, kFixedNewstyle | kNoZeroes};
      for (const std::vector<uint8_t>& part :
           {option(Option::kGo, std::vector<uint8_t>(6)), breach, std::vector<uint8_t>(512, 0xab)}) {
        all.insert(all.end(), part.begin(), part.end());
      }
      put(socket, all);
      EXPECT(is_dropped(socket));
    }
  }
  UniqueFd socket = client_of(server);
  EXPECT_EQ(answer_to(socket, request(Command::kRead, 0, 512)), WireError::kNone);
  EXPECT(get(socket, 512) == std::vector<uint8_t>(512));
}

TEST(options_are_answered_as_the_protocol_wants) {
  const Export server;
  UniqueFd socket = server.connect();
  greet(socket);
  const auto answer = [&](Option what, const std::vector<uint8_t>& data = {}) {
    put(socket, option(what, data));
    return next_answer(socket);
  };
  EXPECT(answer(static_cast<Option>(5)) == OptionReply::kUnsupported);  // TLS
  EXPECT(answer(static_cast<Option>(77), std::vector<uint8_t>(8192)) == OptionReply::kUnsupported);
  EXPECT(answer(Option::kList) == OptionReply::kServer);
  EXPECT(next_answer(socket) == OptionReply::kAck);
  EXPECT(answer(Option::kList, {1}) == OptionReply::kInvalid);
  EXPECT(answer(Option::kInfo) == OptionReply::kInvalid);
  EXPECT(answer(Option::kInfo, {0, 0, 0, 1, 'x', 0, 0}) == OptionReply::kUnknown);
  EXPECT(answer(Option::kInfo, {0xff, 0xff, 0xff, 0xff, 0, 0}) == OptionReply::kInvalid);
  EXPECT(answer(Option::kInfo, {0, 0, 0, 0, 0, 9}) == OptionReply::kInvalid);
  EXPECT(answer(Option::kInfo, {0, 0, 0, 0, 0, 0}) == OptionReply::kInfo);
  EXPECT(next_answer(socket) == OptionReply::kInfo);
  EXPECT(next_answer(socket) == OptionReply::kAck);
  // The old way, whose answer is the export and nothing else.
  put(socket, option(Option::kExportName));
  EXPECT_EQ(get(socket, 10).size(), 10u);
  EXPECT(answer_to(socket, request(Command::kFlush, 0, 0)) == WireError::kNone);
  UniqueFd aborting = server.connect();
  greet(aborting);
  put(aborting, option(Option::kAbort));
  EXPECT(next_answer(aborting) == OptionReply::kAck);
  EXPECT(is_dropped(aborting));
}

// A query for contexts: of the export of that name.
std::vector<uint8_t> query(const std::string& name, const std::vector<std::string>& contexts) {
  std::vector<uint8_t> bytes;
  const auto put_text = [&](const std::string& text) {
    put_number(bytes, static_cast<uint32_t>(text.size()));
    bytes.insert(bytes.end(), text.begin(), text.end());
  };
  put_text(name);
  put_number(bytes, static_cast<uint32_t>(contexts.size()));
  for (const std::string& context : contexts) put_text(context);
  return bytes;
}

// A file with a hole from 1 MiB to 3 MiB and at its end, at a socket.
struct SparseExport {
  SparseExport() {
    const UniqueFd file(::open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const auto data = pattern(1, 1 << 20);
    EXPECT(::ftruncate(file.fd(), kContractSize) == 0);
    for (const off_t at : {0, 3 << 20}) EXPECT_EQ(::pwrite(file.fd(), data.data(), data.size(), at), 1 << 20);
    BlockOptions options = options_for(image);
    disk = open_backend(options);
    map = open_disk_map(options);
    must(server->serve(*disk, map.get(), options, path));
  }

  TempDir dir;
  const std::string image = dir.path("disk.img"), path = dir.path("disk.sock");
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("queues", {}, kLoop));
  std::unique_ptr<BlockBackend> disk;
  std::unique_ptr<DiskMap> map;
  std::unique_ptr<BlockServer> server = must(NbdServer::create("0:9:0", *loop));
};

struct Status {
  WireError error = WireError::kNone;
  std::vector<std::pair<uint32_t, uint32_t>> extents;  // bytes, and their state
};

Status status_of(UniqueFd& socket, uint64_t offset, uint32_t length, uint16_t flags = 0) {
  put(socket, request(Command::kBlockStatus, offset, length, 7, flags));
  const auto chunk = get(socket, kChunkSize);
  EXPECT_EQ(chunk.size(), kChunkSize);
  std::span<const uint8_t> rest(chunk);
  EXPECT_EQ(take_number<uint32_t>(rest), kChunkMagic);
  EXPECT_EQ(take_number<uint16_t>(rest), kChunkDone);
  const auto type = static_cast<Chunk>(take_number<uint16_t>(rest));
  EXPECT_EQ(take_number<uint64_t>(rest), 7u);
  const auto payload = get(socket, take_number<uint32_t>(rest));
  std::span<const uint8_t> left(payload);
  const auto first = take_number<uint32_t>(left);
  if (type == Chunk::kError) return {static_cast<WireError>(first), {}};
  EXPECT(type == Chunk::kBlockStatus);
  EXPECT_EQ(first, kAllocationId);
  Status status;
  while (!left.empty()) {
    const auto bytes = take_number<uint32_t>(left);
    status.extents.emplace_back(bytes, take_number<uint32_t>(left));
  }
  return status;
}

TEST(a_client_that_asks_is_told_of_the_zeroes_of_a_file) {
  const SparseExport sparse;
  UniqueFd socket = connect_to(sparse.path);
  greet(socket);
  const auto answer = [&](Option what, const std::vector<uint8_t>& data = {}) {
    put(socket, option(what, data));
    return next_answer(socket);
  };
  const std::string allocation(kAllocation);
  EXPECT(answer(Option::kSetMetaContext, query("", {allocation})) == OptionReply::kInvalid);  // not structured yet
  EXPECT(answer(Option::kListMetaContext, query("", {})) == OptionReply::kMetaContext);
  EXPECT(next_answer(socket) == OptionReply::kAck);
  EXPECT(answer(Option::kStructuredReply, {1}) == OptionReply::kInvalid);
  EXPECT(answer(Option::kStructuredReply) == OptionReply::kAck);
  EXPECT(answer(Option::kListMetaContext, query("", {"qemu:", "base:"})) == OptionReply::kMetaContext);
  EXPECT(next_answer(socket) == OptionReply::kAck);
  EXPECT(answer(Option::kSetMetaContext, query("other", {allocation})) == OptionReply::kUnknown);
  EXPECT(answer(Option::kSetMetaContext, query("", {"base:other", "x"})) == OptionReply::kAck);
  auto cut = query("", {allocation, allocation});
  while (!cut.empty()) {
    cut.pop_back();
    EXPECT(answer(Option::kSetMetaContext, cut) == OptionReply::kInvalid);
  }
  EXPECT(answer(Option::kSetMetaContext, {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}) == OptionReply::kInvalid);
  EXPECT(answer(Option::kSetMetaContext, query("", {allocation})) == OptionReply::kMetaContext);
  EXPECT(next_answer(socket) == OptionReply::kAck);
  put(socket, option(Option::kGo, std::vector<uint8_t>(6)));
  while (next_answer(socket) == OptionReply::kInfo) {
  }
  using Extents = std::vector<std::pair<uint32_t, uint32_t>>;
  constexpr uint32_t kMiB = 1 << 20, kZeroes = kStateHole | kStateZero;
  EXPECT(status_of(socket, 0, kContractSize).extents ==
         (Extents{{kMiB, 0}, {2 * kMiB, kZeroes}, {kMiB, 0}, {4 * kMiB, kZeroes}}));
  EXPECT(status_of(socket, kMiB - 512, kMiB).extents == (Extents{{512, 0}, {kMiB - 512, kZeroes}}));
  EXPECT(status_of(socket, kMiB, 512).extents == (Extents{{512, kZeroes}}));
  EXPECT(status_of(socket, 0, kContractSize, kCommandReqOne).extents == (Extents{{kMiB, 0}}));
  EXPECT(status_of(socket, 0, 0).error == WireError::kInvalid);
  EXPECT(status_of(socket, 1, 512).error == WireError::kInvalid);
  EXPECT(status_of(socket, kContractSize, 512).error == WireError::kInvalid);
}

TEST(who_has_not_agreed_on_block_status_gets_none) {
  const SparseExport sparse;
  UniqueFd simple = connect_to(sparse.path);
  greet(simple);
  put(simple, option(Option::kGo, std::vector<uint8_t>(6)));
  while (next_answer(simple) == OptionReply::kInfo) {
  }
  EXPECT(answer_to(simple, request(Command::kBlockStatus, 0, 4096)) == WireError::kInvalid);
  const Export memory;  // of which nothing is known
  UniqueFd other = memory.connect();
  greet(other);
  put(other, option(Option::kStructuredReply));
  EXPECT(next_answer(other) == OptionReply::kAck);
  put(other, option(Option::kSetMetaContext, query("", {std::string(kAllocation)})));
  EXPECT(next_answer(other) == OptionReply::kAck);
  put(other, option(Option::kGo, std::vector<uint8_t>(6)));
  while (next_answer(other) == OptionReply::kInfo) {
  }
  EXPECT(status_of(other, 0, 4096).error == WireError::kInvalid);
  memory.plan->fail_nth(BlockOp::kRead, 1, EIO);
  put(other, request(Command::kRead, 0, 512));
  const auto chunk = get(other, kChunkSize + 6);
  EXPECT_EQ(chunk.size(), kChunkSize + 6);
  std::span<const uint8_t> error(chunk.data() + kChunkSize, 4);
  EXPECT(take_number<uint32_t>(error) == static_cast<uint32_t>(WireError::kIo));
}

TEST(a_request_that_cannot_be_is_an_error_and_the_client_goes_on) {
  const Export server;
  UniqueFd socket = client_of(server);
  EXPECT(answer_to(socket, request(Command::kRead, kContractSize, 512)) == WireError::kInvalid);
  EXPECT(answer_to(socket, request(Command::kRead, UINT64_MAX - 511, 512)) == WireError::kInvalid);
  EXPECT(answer_to(socket, request(Command::kRead, 1, 512)) == WireError::kInvalid);
  EXPECT(answer_to(socket, request(Command::kRead, 0, 1)) == WireError::kInvalid);
  EXPECT(answer_to(socket, request(static_cast<Command>(99), 0, 512)) == WireError::kInvalid);
  EXPECT(answer_to(socket, request(Command::kTrim, kContractSize, 512)) == WireError::kNoSpace);
  EXPECT(answer_to(socket, request(Command::kWriteZeroes, 0, 0xffff'fe00)) == WireError::kNoSpace);
  auto write = request(Command::kWrite, kContractSize, 512);
  write.resize(write.size() + 512);
  EXPECT(answer_to(socket, write) == WireError::kNoSpace);
  EXPECT(answer_to(socket, request(Command::kRead, 0, 0)) == WireError::kNone);
  server.plan->fail_nth(BlockOp::kRead, 1, EIO);
  EXPECT(answer_to(socket, request(Command::kRead, 0, 512)) == WireError::kIo);
  EXPECT(answer_to(socket, request(Command::kFlush, 0, 0)) == WireError::kNone);
  EXPECT(still_serves(server));
}

TEST(a_read_only_disk_is_not_written) {
  BlockOptions options;
  options.read_only = true;
  const Export server(options);
  UniqueFd socket = client_of(server);
  auto write = request(Command::kWrite, 0, 512);
  write.resize(write.size() + 512);
  EXPECT(answer_to(socket, write) == WireError::kPermission);
  EXPECT(answer_to(socket, request(Command::kTrim, 0, 512)) == WireError::kPermission);
  EXPECT(answer_to(socket, request(Command::kWriteZeroes, 0, 512)) == WireError::kPermission);
  EXPECT(must(inspect_disk(server.client_options(), "0:9:0")).info.read_only);
}

TEST(a_discard_that_has_to_be_stable_is_followed_by_a_flush) {
  const Export server;
  UniqueFd socket = client_of(server);
  EXPECT(answer_to(socket, request(Command::kTrim, 0, 4096)) == WireError::kNone);
  EXPECT_EQ(server.plan->count(BlockOp::kFlush), 0u);
  EXPECT(answer_to(socket, request(Command::kTrim, 0, 4096, 7, kCommandFua)) == WireError::kNone);
  EXPECT_EQ(server.plan->count(BlockOp::kDiscard), 2u);
  EXPECT_EQ(server.plan->count(BlockOp::kFlush), 1u);
  server.plan->fail_nth(BlockOp::kFlush, 1, ENOSPC);
  EXPECT(answer_to(socket, request(Command::kTrim, 0, 4096, 7, kCommandFua)) == WireError::kNoSpace);
}

TEST(a_client_that_takes_no_answers_holds_up_nobody) {
  const Export server({}, 64 << 20);
  UniqueFd deaf = client_of(server);
  for (uint64_t i = 0; i < 20; i++) put(deaf, request(Command::kRead, 0, kMostPayload, i));
  EXPECT(still_serves(server));
  EXPECT(server.plan->count(BlockOp::kRead) <= 4);  // there is no room for more
  // When it takes them, all come, in any order.
  for (int i = 0; i < 20; i++) {
    EXPECT(error_of(deaf) == WireError::kNone);
    EXPECT_EQ(get(deaf, kMostPayload).size(), kMostPayload);
  }
}

TEST(more_requests_than_there_is_room_for_are_all_answered) {
  const Export server;
  UniqueFd socket = client_of(server);
  server.plan->hold(BlockOp::kRead);
  std::vector<uint8_t> many;
  for (uint64_t i = 0; i < 1000; i++) {
    const auto read = request(Command::kRead, i * 512, 512, i);
    many.insert(many.end(), read.begin(), read.end());
  }
  put(socket, many);
  server.plan->wait_for_held(Client::kSlots);
  server.plan->release();
  std::vector<bool> answered(1000);
  for (int i = 0; i < 1000; i++) {
    const auto reply = get(socket, kReplySize + 512);
    EXPECT_EQ(reply.size(), kReplySize + 512);
    std::span<const uint8_t> cookie(reply.data() + 8, 8);
    const auto number = take_number<uint64_t>(cookie);
    EXPECT(number < 1000 && !answered[number]);
    answered[number] = true;
  }
}

TEST(a_client_that_leaves_in_the_middle_leaves_nothing_behind) {
  const Export server;
  for (const size_t bytes : {1u, 27u, 28u, 29u, 500u}) {
    UniqueFd socket = client_of(server);
    auto write = request(Command::kWrite, 0, 1024);
    write.resize(bytes);
    put(socket, write);
  }
  server.plan->hold(BlockOp::kRead);
  {
    UniqueFd socket = client_of(server);
    put(socket, request(Command::kRead, 0, 4096));
    put(socket, request(Command::kDisconnect, 0, 0));
    server.plan->wait_for_held(1);
  }
  server.plan->release();
  EXPECT(still_serves(server));
}

TEST(there_are_so_many_clients_and_then_no_more) {
  const Export server;
  std::vector<UniqueFd> clients;
  for (size_t i = 0; i < kMostClients; i++) clients.push_back(client_of(server));
  UniqueFd late = server.connect();
  EXPECT(get(late, 18).empty());
  clients.pop_back();
  EXPECT(wait_until([&] {
    UniqueFd again = server.connect();
    return get(again, 18).size() == 18;
  }));
}

TEST(the_end_waits_for_what_is_in_flight) {
  Export server;
  UniqueFd socket = client_of(server);
  server.plan->hold();
  for (uint64_t i = 0; i < 10; i++) put(socket, request(Command::kRead, 0, 4096, i));
  server.plan->wait_for_held(10);
  std::thread end([&] { server.server->stop(); });
  EXPECT(is_dropped(socket));
  server.plan->release();
  end.join();
  server.server.reset();
  EXPECT(!server.connect());
}

}  // namespace
}  // namespace acrn::test
