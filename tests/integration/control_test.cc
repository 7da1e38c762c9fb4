// The control socket, by real sockets, over disks of the loopback board (docs/control-socket.md).
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "dm/base/log_setup.h"
#include "dm/block/sources/byte_lock.h"
#include "dm/control/control_server.h"
#include "dm/control/control_session.h"
#include "dm/devices/device_table.h"
#include "dm/loopback/raw_guest.h"
#include "dm/run/running_device.h"
#include "dm/run/slot_events.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// A machine without CPUs: the loopback board with the functions that it was given.
class LoopbackTarget final : public ControlTarget {
 public:
  explicit LoopbackTarget(const std::vector<std::string>& slots) {
    DeviceEnvironment environment{
        .memory = board_->memory(), .msi = board_->msi(), .shared_loop = *shared_, .throttles = &throttles_};
    for (const std::string& text : slots) {
      const PciSlotConfig slot = must(parse_slot(text));
      environment.events = &slot_events_.emplace_back(full_name(slot.address), events_);
      auto device = must(create_device(slot, environment, board_->pin(slot.address)));
      board_->bus().attach(slot.address, device->function());
      devices_.push_back({slot, std::move(device)});
    }
  }
  LoopbackMachine& board() { return *board_; }
  EpollLoop& shared_loop() { return *shared_; }
  EventBuffer& events() { return events_; }
  bool stopped() const { return stopped_; }

  Result<void> blkrescan(const RescanRequest& request) override {
    const auto disk = find_disk(devices_, request.address);
    return disk ? disk.value()->rescan(request.disk, request.file) : disk.error();
  }
  Result<uint64_t> resize(PciAddress address) override {
    const auto disk = find_disk(devices_, address);
    return disk ? disk.value()->resize() : disk.error();
  }
  Result<DiskLimits> limits(PciAddress address, std::span<const std::string> changes) override {
    const auto disk = find_disk(devices_, address);
    return disk ? change_limits(*disk.value(), changes) : disk.error();
  }
  Result<void> trace(PciAddress address, bool on) override {
    const auto disk = find_disk(devices_, address);
    return disk ? disk.value()->set_trace(on) : disk.error();
  }
  Result<void> mark(PciAddress address, const std::string& text) override {
    const auto disk = find_disk(devices_, address);
    return disk ? disk.value()->mark(text) : disk.error();
  }
  std::vector<DeviceReport> stats() override {
    std::vector<DeviceReport> reports;
    for (const RunningDevice& each : devices_) reports.push_back(report_device(each));
    return reports;
  }
  Result<void> pause() override {
    if (!paused_) events_.add({.kind = ControlEventKind::kPaused});
    paused_ = true;
    return {};
  }
  Result<void> resume() override {
    paused_ = false;
    return {};
  }
  void stop() override { stopped_ = true; }
  MachineStatus status() override { return {"vm1", "615db82a-e189-4b4f-8dbb-d321343e4ab3", paused_}; }

 private:
  EventBuffer events_;
  std::deque<SlotEvents> slot_events_;
  std::unique_ptr<LoopbackMachine> board_ = must(LoopbackMachine::create(64 << 20));
  std::unique_ptr<EpollLoop> shared_ = must(EpollLoop::create("shared", {}));
  ThrottleGroups throttles_;
  std::vector<RunningDevice> devices_;
  std::atomic<bool> paused_{false}, stopped_{false};
};

class Client {
 public:
  explicit Client(const std::string& path) : socket_(connect_to(path)) { EXPECT(socket_); }

  // False: the server has gone.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(size));
    }
    return true;
  }
  // With open files, which stay the caller's.
  bool send(std::string_view bytes, const std::vector<int>& files) {
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};  // sendmsg() only reads it
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))]{};
    EXPECT(files.size() <= 8);
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), files.data(), files.size() * sizeof(int));
    return ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  void end_of_requests() { ::shutdown(socket_.fd(), SHUT_WR); }
  // The next line without its end; nothing: the server has gone, or does not answer.
  std::optional<std::string> line() {
    size_t end;
    while ((end = input_.find('\n')) == std::string::npos) {
      char bytes[65536];
      const ssize_t size = ::recv(socket_.fd(), bytes, sizeof(bytes), 0);
      if (size <= 0) return std::nullopt;
      input_.append(bytes, static_cast<size_t>(size));
    }
    std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    return line;
  }
  std::string ask(const std::string& request) {
    EXPECT(send(request + "\n"));
    return line().value_or("(no answer)");
  }
  std::string ask(const std::string& request, const std::vector<int>& files) {
    EXPECT(send(request + "\n", files));
    return line().value_or("(no answer)");
  }
  // A command, with its arguments as JSON.
  std::string run(const std::string& command, const std::string& arguments = "null") {
    return ask(R"({"command": ")" + command + R"(", "arguments": )" + arguments + "}");
  }

 private:
  UniqueFd socket_;
  std::string input_;
};

struct Rig {
  TempDir directory;
  std::string path = directory.path("control.sock");
  LoopbackTarget target;
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("control", {}));
  std::unique_ptr<ControlServer> server;

  explicit Rig(const std::vector<std::string>& slots = {}) : target(slots) {
    static const bool quiet = setup_logging({.console = 1}, "").ok();
    EXPECT(quiet);
    server = must(ControlServer::create(*loop, path, target, &target.events()));
  }
};

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode : 0;
}

// --- the socket's place

TEST(the_socket_is_its_owners_alone_whatever_the_umask) {
  for (const mode_t mask : {0000, 0022, 0077, 0777}) {
    const mode_t before = ::umask(0077);
    TempDir directory;
    LoopbackTarget target({});
    auto loop = must(EpollLoop::create("control", {}));
    ::umask(mask);
    auto server = ControlServer::create(*loop, directory.path("s"), target);
    ::umask(before);
    EXPECT(server.ok());
    EXPECT_EQ(mode_of(directory.path("s")), static_cast<mode_t>(S_IFSOCK | 0600));
  }
}

TEST(the_socket_goes_with_its_server_unless_it_is_somebody_elses_by_then) {
  Rig rig;
  rig.server.reset();
  EXPECT(!std::filesystem::exists(rig.path));
  rig.server = must(ControlServer::create(*rig.loop, rig.path, rig.target));
  std::filesystem::remove(rig.path);
  rig.directory.file("control.sock", 7);
  rig.server.reset();
  EXPECT(S_ISREG(mode_of(rig.path)));
}

// A socket in the file system whose process is gone, or lives on.
UniqueFd socket_at(const std::string& path, int type, bool listening) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  EXPECT(::bind(fd.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  if (listening) EXPECT(::listen(fd.fd(), 1) == 0);
  return fd;
}

// COVERS(input): control socket: whatever is at its path
TEST(a_socket_that_nobody_serves_is_replaced) {
  Rig rig;
  const std::string old = rig.directory.path("old");
  socket_at(old, SOCK_STREAM, true).reset();
  EXPECT(std::filesystem::exists(old));
  const auto server = must(ControlServer::create(*rig.loop, old, rig.target));
  EXPECT_CONTAINS(Client(old).run("status"), R"("ok":true)");
}

// COVERS(input): control socket: whatever is at its path
TEST(a_socket_that_is_served_is_refused_and_left_alone) {
  Rig rig;
  const auto second = ControlServer::create(*rig.loop, rig.path, rig.target);
  EXPECT(!second.ok());
  EXPECT(second.error().kind == ErrorKind::kNoInput);
  EXPECT_CONTAINS(second.error().message, "--cmd_monitor " + rig.path + ": another process serves it");
  EXPECT_CONTAINS(Client(rig.path).run("status"), R"("ok":true)");

  const std::string datagram = rig.directory.path("datagram");
  const UniqueFd other = socket_at(datagram, SOCK_DGRAM, false);
  EXPECT(!ControlServer::create(*rig.loop, datagram, rig.target).ok());
  EXPECT(S_ISSOCK(mode_of(datagram)));
}

// COVERS(input): control socket: whatever is at its path
TEST(what_is_not_a_socket_is_refused_and_left_alone) {
  Rig rig;
  const TempDir& directory = rig.directory;
  directory.file("file", 3);
  std::filesystem::create_directory(directory.path("directory"));
  std::filesystem::create_symlink("nowhere", directory.path("link"));
  EXPECT(::mkfifo(directory.path("fifo").c_str(), 0600) == 0);
  for (const char* name : {"file", "directory", "link", "fifo"}) {
    const std::string path = directory.path(name);
    const mode_t before = mode_of(path);
    const auto server = ControlServer::create(*rig.loop, path, rig.target);
    EXPECT(!server.ok());
    EXPECT(server.error().kind == ErrorKind::kNoInput);
    EXPECT_CONTAINS(server.error().message, "not a socket");
    EXPECT_EQ(mode_of(path), before);
  }
  EXPECT(!std::filesystem::exists(directory.path("nowhere")));
}

TEST(a_path_that_cannot_be_a_socket_is_named) {
  Rig rig;
  for (const std::string& path : {std::string(), std::string(108, 'x'), std::string("a\0b", 3)}) {
    const auto server = ControlServer::create(*rig.loop, path, rig.target);
    EXPECT(!server.ok());
    EXPECT(server.error().kind == ErrorKind::kUsage);
  }
  const std::string missing = rig.directory.path("no/such/directory");
  const auto server = ControlServer::create(*rig.loop, missing, rig.target);
  EXPECT(!server.ok());
  EXPECT(server.error().kind == ErrorKind::kNoInput);
  EXPECT_CONTAINS(server.error().message, missing);
}

// --- the protocol

TEST(a_reply_carries_the_id_of_its_request) {
  Rig rig;
  Client client(rig.path);
  const std::string result =
      R"("ok":true,"result":{"vm":"vm1","uuid":"615db82a-e189-4b4f-8dbb-d321343e4ab3","state":"running"}})";
  EXPECT_EQ(client.ask(R"({"command": "status"})"), "{" + result);
  for (const char* id : {"null", "7", "-1.5", R"("a\"b")", "[1,{\"a\":null}]", "true"}) {
    EXPECT_EQ(client.ask(std::string(R"({"id": )") + id + R"(, "command": "status"})"),
              std::string(R"({"id":)") + id + "," + result);
  }
  EXPECT_CONTAINS(client.ask(R"({"id": 3, "command": "nonsense"})"), R"({"id":3,"ok":false,"error":")");
}

// COVERS(input): control socket: depth, not UTF-8, not a request
TEST(what_is_no_request_gets_an_error_and_the_next_request_is_served) {
  Rig rig({"7,virtio-blk,nodisk"});
  Client client(rig.path);
  const std::pair<std::string, std::string> rows[] = {
      {"nonsense", "not JSON"},
      {"{", "not JSON"},
      {"{\"command\": \"st\xff\"}", "not JSON in UTF-8"},
      {"{\"command\": \"\x01\"}", "not JSON"},
      {R"({"command": "status"} x)", "not JSON"},
      {"[]", "not an object"},
      {"5", "not an object"},
      {"null", "not an object"},
      {R"({"id": 1e999, "command": "status"})", "out of range"},
      {"{}", "the command is missing"},
      {R"({"command": 5})", "the command is missing"},
      {R"({"comand": "status"})", "'comand' is not a member"},
      {R"({"command": "statsu"})", "did you mean stat"},
      {R"({"command": ""})",
       "known: blkrescan, resize, limits, trace, mark, stats, metrics, subscribe, pause, resume, stop, status, help"},
      {R"({"command": "metrics", "arguments": "9"})", "metrics: it takes no arguments"},
      {R"({"command": "subscribe", "arguments": "paused"})", "subscribe: give names of events, like"},
      {R"({"command": "subscribe", "arguments": ["pause"]})", "'pause' is not an event; did you mean paused?"},
      {R"({"command": "subscribe", "arguments": [[7]]})", "'[7]' is not an event"},
      {R"({"command": "stop", "arguments": "9"})", "stop: it takes no arguments"},
      {R"({"command": "resize"})", "the slot is missing"},
      {R"({"command": "resize", "arguments": 9})", "the slot is missing"},
      {R"({"command": "resize", "arguments": {"slot": "9", "size": 1}})", "the slot is missing"},
      {R"({"command": "resize", "arguments": "32"})", "'32' is not a slot"},
      {R"({"command": "resize", "arguments": "9"})", "no function in slot 9:0"},
      {R"({"command": "stats", "arguments": "9"})", "no function in slot 0:9:0"},
      {R"({"command": "limits"})", "the slot is missing"},
      {R"({"command": "mark", "arguments": "9"})", "give a slot and a text"},
      {R"({"command": "mark", "arguments": "9,here"})", "no function in slot 9:0"},
      {R"({"command": "trace", "arguments": "9"})", "give a slot, and on or off"},
      {R"({"command": "trace", "arguments": "9,on"})", "no function in slot 9:0"},
      {R"({"command": "limits", "arguments": "9,iops=5"})", "no function in slot 9:0"},
      {R"({"command": "blkrescan"})", "slot and path are missing"},
      {R"({"command": "blkrescan", "arguments": {}})", "slot and path are missing"},
      {R"({"command": "blkrescan", "arguments": "7"})", "the path is missing"},
      {R"({"command": "blkrescan", "arguments": "7,nodisk"})", "nodisk is no disk"},
      {R"({"command": "blkrescan", "arguments": "7,a.img,rw"})", "'rw' is not an option"},
      {R"({"command": "blkrescan", "arguments": "7,a\n\u0000b,ro"})", "the path is missing"},
      {std::string(R"({"command": "help", "arguments": )") + std::string(17, '[') + std::string(17, ']') + "}",
       "nested deeper than 16"},
      {std::string(60'000, '['), "nested deeper than 16"},
  };
  for (const auto& [request, error] : rows) {
    const std::string reply = client.ask(request);
    EXPECT_CONTAINS(reply, R"("ok":false,"error":")");
    EXPECT_CONTAINS(reply, error);
  }
  EXPECT(!rig.target.stopped());
  EXPECT_CONTAINS(client.ask(R"({"id": [[["]]]]]]]]]]]]]]]]]]]]]]]"]]], "command": "status"})"), R"("ok":true)");
}

// COVERS(input): control socket: partial and pipelined messages
TEST(requests_may_come_in_pieces_or_many_at_once) {
  Rig rig;
  Client client(rig.path);
  for (const char c : std::string("{\"id\": 1, \"command\": \"status\"}\r\n")) EXPECT(client.send({&c, 1}));
  EXPECT_CONTAINS(client.line().value_or(""), R"({"id":1,"ok":true)");
  std::string many;
  for (int id = 0; id < 1000; id++) many += R"({"id": )" + std::to_string(id) + ", \"command\": \"status\"}\n\n \t\r\n";
  EXPECT(client.send(many));
  for (int id = 0; id < 1000; id++) EXPECT_CONTAINS(client.line().value_or(""), R"({"id":)" + std::to_string(id) + ",");
  EXPECT(client.send(R"({"id": 2, "command": "status"})"));
  client.end_of_requests();
  EXPECT_CONTAINS(client.line().value_or(""), R"({"id":2,"ok":true)");
  EXPECT(!client.line());
}

// COVERS(input): control socket: size limit
TEST(a_line_of_64_kib_is_served_and_a_longer_one_ends_the_connection) {
  Rig rig;
  const std::string request = R"({"command": "status"})";
  {
    Client client(rig.path);
    const std::string spaces(ControlSession::kMaxLine - request.size(), ' ');
    EXPECT_CONTAINS(client.ask(spaces + request), R"("ok":true)");
    EXPECT(client.send(spaces + " " + request + "\n" + request + "\n"));
    EXPECT_CONTAINS(client.line().value_or(""), "longer than 65536 bytes");
    EXPECT(!client.line());
  }
  Client endless(rig.path);
  const std::string junk(1 << 20, 'x');
  while (endless.send(junk)) {
  }
  EXPECT_CONTAINS(endless.line().value_or(""), "longer than 65536 bytes");
  EXPECT(!endless.line());
  EXPECT_CONTAINS(Client(rig.path).ask(request), R"("ok":true)");
}

// COVERS(input): control socket: too many clients
TEST(sixteen_clients_are_served_and_the_next_is_told_so) {
  Rig rig;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < ControlServer::kMaxClients; i++) {
    clients.push_back(std::make_unique<Client>(rig.path));
    EXPECT_CONTAINS(clients.back()->run("status"), R"("ok":true)");
  }
  Client one_more(rig.path);
  EXPECT_CONTAINS(one_more.line().value_or(""), R"({"ok":false,"error":"there are 16 clients already)");
  EXPECT(!one_more.line());
  for (auto& client : clients) EXPECT_CONTAINS(client->run("status"), R"("ok":true)");
  clients.pop_back();
  EXPECT(wait_until([&] {
    Client again(rig.path);
    again.send("{\"command\": \"status\"}\n");
    return again.line().value_or("").find(R"("ok":true)") != std::string::npos;
  }));
}

// COVERS(input): control socket: a client that never reads
TEST(a_client_that_never_reads_is_dropped_and_the_others_are_served) {
  Rig rig({"9,virtio-blk,ram:1M"});
  Client silent(rig.path), other(rig.path);
  std::thread asking([&] {
    while (silent.send("{\"command\": \"stats\"}\n")) {
    }
  });
  for (int i = 0; i < 50; i++) EXPECT_CONTAINS(other.run("status"), R"("ok":true)");
  asking.join();  // ends when the server has dropped it
  EXPECT_CONTAINS(other.run("status"), R"("ok":true)");
}

// COVERS(input): control socket: a client that leaves at any moment
TEST(a_client_may_leave_in_the_middle_of_anything) {
  Rig rig({"9,virtio-blk,ram:1M"});
  for (int i = 0; i < 200; i++) {
    Client client(rig.path);
    const std::string request = "{\"command\": \"stats\"}\n{\"command\": \"stats\"}\n{\"command\"";
    client.send(std::string_view(request).substr(0, static_cast<size_t>(i) % request.size() + 1));
  }
  EXPECT_CONTAINS(Client(rig.path).run("status"), R"("ok":true)");
}

TEST(the_server_may_end_with_clients_at_work) {
  for (int i = 0; i < 20; i++) {
    Rig rig;
    Client client(rig.path), idle(rig.path);
    std::thread asking([&] {
      while (client.send("{\"command\": \"status\"}\n") && client.line()) {
      }
    });
    EXPECT_CONTAINS(idle.run("status"), R"("ok":true)");
    rig.server.reset();
    EXPECT(!idle.line());
    asking.join();
  }
}

// --- the commands

TEST(pause_resume_and_stop_reach_the_machine) {
  Rig rig;
  Client client(rig.path);
  EXPECT_EQ(client.run("pause"), R"({"ok":true,"result":{}})");
  EXPECT_CONTAINS(client.run("status"), R"("state":"paused")");
  EXPECT_EQ(client.run("resume", "\"\""), R"({"ok":true,"result":{}})");
  EXPECT_CONTAINS(client.run("status", "{}"), R"("state":"running")");
  EXPECT(!rig.target.stopped());
  EXPECT_EQ(client.run("stop", "[]"), R"({"ok":true,"result":{}})");
  EXPECT(rig.target.stopped());
  EXPECT_CONTAINS(client.run("help"), R"({"command":"blkrescan","help":"gives a nodisk slot its disk","arguments":)");
}

// The counts of a stats reply are those of one run, and a path is where a test may write.
std::string comparable(std::string text, const std::string& path) {
  static const std::string kDocumented = "/var/lib/vms/data.img";
  if (const size_t at = text.find(kDocumented); at != std::string::npos) text.replace(at, kDocumented.size(), path);
  auto json = nlohmann::ordered_json::parse(text);
  if (json.contains("/result/functions/0/queues"_json_pointer)) {
    for (auto& queue : json["result"]["functions"][0]["queues"]) {
      for (const char* count : {"kicks", "interrupts"}) queue[count] = 0;
      queue["latency_us_below"].clear();
      queue["latency"].clear();
    }
  }
  return json.dump();
}

// Each line of docs/control-socket.md that is a request, and the line behind it.
TEST(the_examples_of_the_manual_are_answered_as_it_says) {
  Rig rig({"9,virtio-blk,nodisk,writeback"});
  const std::string path = rig.directory.file("data.img", 1 << 20);
  RawGuest guest = must(RawGuest::start(rig.target.board(), {0, 9, 0}));
  Client client(rig.path);
  std::ifstream manual(ACRN_SOURCE_DIR "/docs/control-socket.md");
  unsigned examples = 0;
  for (std::string request, reply; std::getline(manual, request);) {
    if (!request.starts_with("{\"id\"") && !request.starts_with("{\"command\"")) continue;
    EXPECT(std::getline(manual, reply));
    if (request.find("\"9\"}}") != std::string::npos) std::filesystem::resize_file(path, 2 << 20);
    if (request.find("\"stats\"") != std::string::npos) {
      std::vector<std::byte> data(512);
      for (const uint64_t sector : {0, 1, 4096}) guest.request(VIRTIO_BLK_T_OUT, sector, data);
    }
    constexpr std::string_view kPath = "/var/lib/vms/data.img";
    if (const size_t at = request.find(kPath); at != std::string::npos) request.replace(at, kPath.size(), path);
    EXPECT_EQ(comparable(client.ask(request), path), comparable(reply, path));
    examples++;
  }
  EXPECT(examples >= 6);
}

TEST(limits_are_looked_at_and_changed_one_by_one) {
  Rig rig({"9,virtio-blk,ram:1M,iops=100,iops_burst=200"});
  Client client(rig.path);
  EXPECT_CONTAINS(client.ask(R"({"command": "limits", "arguments": "9"})"),
                  R"("limits":{"iops":100,"iops_burst":200}})");
  EXPECT_CONTAINS(client.ask(R"({"command": "limits", "arguments": "9,iops=0,bps=1M"})"),
                  R"("limits":{"bps":1048576}})");
  EXPECT_CONTAINS(client.ask(R"({"command": "limits", "arguments": "9,iops=many"})"), "limits: iops=many: not a limit");
  EXPECT_CONTAINS(client.ask(R"({"command": "limits", "arguments": "9,ro"})"), "limits: 'ro' is not a limit");
  EXPECT_CONTAINS(client.ask(R"({"command": "stats", "arguments": "9"})"), R"("limits":{"bps":1048576},"delayed":0)");
}

TEST(a_disk_that_comes_later_does_not_change_the_limits_of_its_group) {
  Rig rig({"8,virtio-blk,ram:1M,throttle_group=both,iops=100", "9,virtio-blk,nodisk,throttle_group=both"});
  Client client(rig.path);
  EXPECT_CONTAINS(client.run("blkrescan", R"("9,ram:1M,bps=1M")"),
                  "blkrescan 0:9:0: throttle_group=both has other limits");
  EXPECT_CONTAINS(client.run("limits", R"("9")"), R"("limits":{"iops":100})");
  EXPECT_CONTAINS(client.run("blkrescan", R"("9,ram:1M,iops=100")"), R"("ok":true)");
}

// No queue interrupt is under way any more, and none is remembered.
void acknowledge(Rig& rig, RawGuest& guest) {
  for (int i = 0; i < 2; i++) rig.target.shared_loop().run([] {});
  guest.function().in(VIRTIO_PCI_ISR, 1);
}

// COVERS(device page, 8): the guest sees what the control socket changes
TEST(the_guest_sees_a_disk_that_comes_by_blkrescan_and_grows_by_resize) {
  Rig rig({"0,hostbridge", "9,virtio-blk,nodisk"});
  RawGuest guest =
      must(RawGuest::start(rig.target.board(), {0, 9, 0}, ~feature(VIRTIO_RING_F_EVENT_IDX), InterruptMode::kIntx));
  Client client(rig.path);
  const std::string path = rig.directory.file("disk, \"one\" \xc3\xa4.img", 1 << 20);
  const std::string written = rig.directory.path("disk,, \\\"one\\\" \xc3\xa4.img");  // in a slot's text, in JSON
  EXPECT_CONTAINS(client.run("resize", R"("9")"), "there is no disk to resize");
  EXPECT_CONTAINS(client.run("blkrescan", "\"9," + rig.directory.path("missing") + "\""), "missing");
  EXPECT_CONTAINS(client.run("blkrescan", "\"9," + written + ",ro\""), "ro: settled by the slot's -s");
  EXPECT_CONTAINS(client.run("blkrescan", "\"0," + written + "\""), "not a virtio-blk disk");
  EXPECT_CONTAINS(client.run("blkrescan", "\"8," + written + "\""), "no function in slot 8:0");
  EXPECT_CONTAINS(client.run("stats", R"("9")"), R"("source":"nodisk")");
  acknowledge(rig, guest);
  EXPECT_EQ(guest.capacity(), 0u);

  EXPECT_EQ(client.run("blkrescan", "\"9," + written + "\""), R"({"ok":true,"result":{"slot":"0:9:0"}})");
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 3u);
  EXPECT_EQ(guest.capacity(), 2048u);
  EXPECT_CONTAINS(client.run("blkrescan", "\"9," + written + "\""), "blkrescan 0:9:0: it has a disk already (");
  std::vector<std::byte> data(512, std::byte{7});
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 2047, data)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 2048, data)->status, VIRTIO_BLK_S_IOERR);

  acknowledge(rig, guest);
  std::filesystem::resize_file(path, 2 << 20);
  EXPECT_EQ(client.run("resize", R"({"slot": "0:9:0"})"), R"({"ok":true,"result":{"slot":"0:9:0","bytes":2097152}})");
  EXPECT_EQ(guest.function().in(VIRTIO_PCI_ISR, 1), 3u);
  EXPECT_EQ(guest.capacity(), 4096u);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 4095, data)->status, VIRTIO_BLK_S_OK);
  EXPECT_CONTAINS(client.run("resize", R"("0")"), "not a virtio-blk disk");

  const std::string stats = client.run("stats", R"("9:0")");
  EXPECT_CONTAINS(stats,
                  R"("slot":"0:9:0","emulation":"virtio-blk","source":")" + rig.directory.path("disk, \\\"one\\\""));
  EXPECT_CONTAINS(stats, R"("requests":{"read":0,"write":3,"flush":0,)");
  EXPECT_CONTAINS(stats, R"("bytes_read":0,"bytes_written":1024,"errors":{"ioerr":1,"unsupp":0,"host":{}},)"
                         R"("overdue":0,"stopped":false,"stops":0)");
  EXPECT_CONTAINS(stats, R"("mistakes":{"sector-past-end":1})");
  EXPECT_CONTAINS(client.run("stats"),
                  R"({"slot":"0:0:0","emulation":"hostbridge","queues":[],"mistakes":{},"vmm_mistakes":{}})");
}

// --- disks that come as open files

constexpr const char* kSentDisk = R"({"command": "blkrescan", "arguments": "9,fd:"})";

std::string sent_disk(const std::string& options) {
  return R"({"command": "blkrescan", "arguments": "9,fd:)" + options + "\"}";
}

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

bool can_be_locked(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  return ByteLock{.fd = file.fd(), .start = 0, .length = kWholeFile, .shared = false, .name = path}.take().ok();
}

TEST(a_disk_may_come_as_an_open_file_which_is_locked_as_long_as_it_is_served) {
  std::optional<Rig> rig(std::in_place, std::vector<std::string>{"9,virtio-blk,nodisk", "10,virtio-blk,nodisk"});
  const TempDir directory;
  const std::string path = directory.file("disk.img", 1 << 20);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  RawGuest guest = must(RawGuest::start(rig->target.board(), {0, 9, 0}));
  Client client(rig->path);
  EXPECT_EQ(client.ask(kSentDisk, {file.fd()}), R"({"ok":true,"result":{"slot":"0:9:0"}})");
  EXPECT_EQ(guest.capacity(), 2048u);
  EXPECT_CONTAINS(client.run("stats", R"("9")"), "\"source\":\"" + path + "\"");
  std::vector<std::byte> data(512, std::byte{7}), found(512);
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 2047, data)->status, VIRTIO_BLK_S_OK);
  EXPECT_EQ(::pread(file.fd(), found.data(), found.size(), 2047 * 512), 512);
  EXPECT(found == data);

  // Not by another open file, and not by the same.
  EXPECT(!can_be_locked(path));
  const std::string in_use = path + ": bytes 0..1048575 are in use by another disk or process";
  EXPECT_CONTAINS(client.ask(R"({"command": "blkrescan", "arguments": "10,fd:"})", {file.fd()}), in_use);
  EXPECT_CONTAINS(client.run("blkrescan", "\"10," + path + "\""), in_use);
  EXPECT_CONTAINS(client.ask(kSentDisk, {file.fd()}), "it has a disk already");
  std::filesystem::resize_file(path, 2 << 20);
  EXPECT_CONTAINS(client.run("resize", R"("9")"), R"("bytes":2097152)");
  EXPECT_EQ(guest.request(VIRTIO_BLK_T_IN, 4095, found)->status, VIRTIO_BLK_S_OK);
  EXPECT(!can_be_locked(path));
  rig.reset();
  EXPECT(can_be_locked(path));  // though its sender still has it open
}

TEST(a_file_that_its_sender_has_locked_is_in_use) {
  Rig rig({"9,virtio-blk,nodisk"});
  const std::string path = rig.directory.file("disk.img", 1 << 20);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const ByteLock lock{.fd = file.fd(), .start = 0, .length = 512, .shared = false, .name = path};
  EXPECT(lock.take().ok());
  Client client(rig.path);
  EXPECT_CONTAINS(client.ask(kSentDisk, {file.fd()}), "are in use by another disk or process");
  EXPECT_CONTAINS(client.ask(sent_disk(",lock=off"), {file.fd()}), R"("ok":true)");
  EXPECT(!can_be_locked(path));
}

// COVERS(input): control socket: descriptors of any kind
TEST(a_file_that_is_sent_must_be_open_as_its_disk_needs_it) {
  Rig rig({"9,virtio-blk,nodisk", "10,virtio-blk,nodisk,ro"});
  const std::string path = rig.directory.file("disk.img", 1 << 20), empty = rig.directory.file("empty.img", 0);
  RawGuest guest = must(RawGuest::start(rig.target.board(), {0, 9, 0}));
  int pair[2], pipe[2];
  EXPECT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && ::pipe2(pipe, O_CLOEXEC) == 0);
  const UniqueFd ends[] = {UniqueFd(pair[0]), UniqueFd(pair[1]), UniqueFd(pipe[0]), UniqueFd(pipe[1])};
  const auto opened = [](const std::string& name, int flags) {
    return UniqueFd(::open(name.c_str(), flags | O_CLOEXEC));
  };
  const UniqueFd folder = opened(rig.directory.path(""), O_RDONLY | O_DIRECTORY), null = opened("/dev/null", O_RDWR),
                 watcher(::epoll_create1(EPOLL_CLOEXEC)), read_only = opened(path, O_RDONLY),
                 write_only = opened(path, O_WRONLY), both = opened(path, O_RDWR), place = opened(path, O_PATH),
                 appends = opened(path, O_RDWR | O_APPEND), hurried = opened(path, O_RDWR | O_NONBLOCK),
                 direct = opened(path, O_RDWR | O_DIRECT), nothing = opened(empty, O_RDWR);
  const std::string file = "virtio-blk " + path + ": the descriptor is open ";
  const std::tuple<int, std::string, std::string> rows[] = {
      {folder.fd(), "9,fd:", "a directory; a disk is a regular file or a block device"},
      {null.fd(), "9,fd:", "virtio-blk /dev/null: a character device; a disk is"},
      {pair[0], "9,fd:", "a socket; a disk is"},
      {pipe[1], "9,fd:", "a FIFO; a disk is"},
      {watcher.fd(), "9,fd:", "no regular file; a disk is"},
      {nothing.fd(), "9,fd:", "is empty; a disk has at least 512 bytes"},
      {read_only.fd(), "9,fd:", file + "for reading or for writing only; open it for both, or add ro"},
      {write_only.fd(), "9,fd:", file + "for reading or for writing only; open it for both, or add ro"},
      {both.fd(), "10,fd:", file + "for writing; open it read-only, as the disk is"},
      {place.fd(), "9,fd:", file + "for its path only (O_PATH); open the file"},
      {place.fd(), "10,fd:", file + "for its path only (O_PATH); open the file"},
      {appends.fd(), "9,fd:", file + "for appending (O_APPEND); open it without"},
      {hurried.fd(), "9,fd:", file + "without waiting (O_NONBLOCK); open it without"},
      {both.fd(), "9,fd:,nocache", file + "without O_DIRECT; open it with it, or leave nocache out"},
      {both.fd(), "9,fd:,range=0/4096", "range=0/4096"},
      {both.fd(), "9,fd:,format=qcow2", "blkrescan 0:9:0: format: for a file with a path; leave it out"},
      {both.fd(), "9,fd:x", "blkrescan 0:9:0: a descriptor came with the command; give fd: as the path"},
      {both.fd(), "9," + path, "blkrescan 0:9:0: a descriptor came with the command; give fd:"},
      {both.fd(), "8,fd:", "there is no function in slot 8:0"},
  };
  Client client(rig.path);
  EXPECT_CONTAINS(client.run("status"), R"("ok":true)");
  const size_t before = open_descriptors();
  for (const auto& [descriptor, arguments, error] : rows) {
    const std::string reply =
        client.ask(R"({"command": "blkrescan", "arguments": ")" + arguments + "\"}", {descriptor});
    EXPECT_CONTAINS(reply, R"("ok":false)");
    EXPECT_CONTAINS(reply, error);
  }
  if (direct) EXPECT_CONTAINS(client.ask(kSentDisk, {direct.fd()}), file + "with O_DIRECT; open it without, or add");
  EXPECT_CONTAINS(client.run("stats", R"("9")"), R"("source":"nodisk")");
  EXPECT_EQ(open_descriptors(), before);
  EXPECT(can_be_locked(path));
  EXPECT_EQ(guest.capacity(), 0u);
  EXPECT_CONTAINS(client.ask(R"({"command": "blkrescan", "arguments": "10,fd:"})", {read_only.fd()}), R"("ok":true)");
}

// COVERS(input): control socket: descriptors with any line, or with none
TEST(a_descriptor_belongs_to_the_line_that_it_came_with) {
  Rig rig({"9,virtio-blk,nodisk", "10,virtio-blk,nodisk"});
  const std::string path = rig.directory.file("disk.img", 1 << 20);
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const int fd = file.fd();
  Client client(rig.path);
  EXPECT_CONTAINS(client.run("status"), R"("ok":true)");
  const size_t before = open_descriptors();
  const auto refused = [&](const std::string& reply, const std::string& error) {
    EXPECT_CONTAINS(reply, R"("ok":false)");
    EXPECT_CONTAINS(reply, error);
  };
  refused(client.ask(kSentDisk),
          "blkrescan 0:9:0: no descriptor came with the command; send one with its line (SCM_RIGHTS)");
  refused(client.ask(kSentDisk, {fd, fd}), "blkrescan: several descriptors came with it; send one");
  refused(client.ask(kSentDisk, {fd, fd, fd, fd, fd, fd, fd, fd}), "blkrescan: several descriptors came with it");
  refused(client.ask(R"({"command": "stop"})", {fd}), "stop: it takes no descriptor; send it with blkrescan");
  refused(client.ask(R"({"command": "statsu"})", {fd}), "'statsu' is not a command");
  refused(client.ask("no command", {fd}), "not JSON");
  refused(client.ask(" \t", {fd}), "a descriptor came without a command; send it with the line of blkrescan");
  EXPECT(!rig.target.stopped());
  // It is that of another line.
  EXPECT(client.send(std::string(kSentDisk) + "\n" + R"({"command": "status"})" + "\n", {fd}));
  refused(client.line().value_or(""), "blkrescan 0:9:0: no descriptor came");
  refused(client.line().value_or(""), "status: it takes no descriptor");
  EXPECT_EQ(open_descriptors(), before);
  for (size_t i = 0; i < 100; i++) {
    Client leaves(rig.path);
    if (i % 2 != 0) EXPECT(leaves.send("{", {fd}));
    if (i % 3 != 0) EXPECT(leaves.send("\"command\"", {fd}));
  }
  Client greedy(rig.path);
  while (greedy.send(" ", {fd, fd})) {
  }
  refused(greedy.line().value_or(""), "more than 16 descriptors in one line; good bye");
  EXPECT(!greedy.line());
  EXPECT(wait_until([&] { return open_descriptors() == before + 1; }));  // of `greedy` here
  // With the first byte, after a line that has none, and before one that has none.
  EXPECT(client.send("{\"command\": \"status\"}\n"));
  EXPECT(client.send("{", {fd}));
  EXPECT(client.send(std::string(kSentDisk).substr(1) + "\n{\"command\": \"status\"}\n"));
  for (int i = 0; i < 3; i++) EXPECT_CONTAINS(client.line().value_or(""), R"("ok":true)");
}

// --- metrics and events

TEST(metrics_are_a_text_that_ends) {
  Rig rig({"0,hostbridge", "9,virtio-blk,ram:1M"});
  const auto reply = nlohmann::json::parse(Client(rig.path).run("metrics"));
  const auto text = reply["result"]["text"].get<std::string>();
  EXPECT(text.ends_with("\n# EOF\n"));
  EXPECT_CONTAINS(text, "acrn_disk_size_bytes{vm=\"vm1\",slot=\"0:9:0\"} 1048576\n");
}

// The next event, without its time.
nlohmann::json event_of(Client& client) {
  auto json = nlohmann::json::parse(client.line().value_or("null"));
  EXPECT(json.is_object() && json["time"].is_number());
  json.erase("time");
  return json;
}

TEST(a_client_is_told_of_what_it_asked_for_and_of_nothing_before) {
  Rig rig({"9,virtio-blk,nodisk"});
  Client all(rig.path), some(rig.path), none(rig.path);
  const std::string path = rig.directory.file("disk.img", 1 << 20);
  EXPECT_CONTAINS(all.run("pause"), R"("ok":true)");
  EXPECT_CONTAINS(all.run("resume"), R"("ok":true)");
  EXPECT_CONTAINS(all.run("subscribe"), R"({"ok":true,"result":{"events":["io_error","guest_error","queue_stopped",)");
  EXPECT_EQ(some.run("subscribe", R"(["resized", "resized"])"), R"({"ok":true,"result":{"events":["resized"]}})");
  EXPECT_CONTAINS(none.run("pause"), R"("ok":true)");
  EXPECT_CONTAINS(none.run("blkrescan", "\"9," + path + "\""), R"("ok":true)");
  std::filesystem::resize_file(path, 2 << 20);
  EXPECT_CONTAINS(none.run("resize", R"("9")"), R"("ok":true)");
  EXPECT_CONTAINS(none.run("resize", R"("9")"), R"("ok":true)");  // to the size that it has
  EXPECT_EQ(event_of(all), nlohmann::json::parse(R"({"event":"paused"})"));
  for (Client* client : {&all, &some}) {
    EXPECT_EQ(event_of(*client), nlohmann::json::parse(R"({"event":"resized","slot":"0:9:0","bytes":1048576})"));
    EXPECT_EQ(event_of(*client), nlohmann::json::parse(R"({"event":"resized","slot":"0:9:0","bytes":2097152})"));
  }
  // Requests go on, and a later subscription replaces the first.
  EXPECT_EQ(all.run("subscribe", R"(["paused"])"), R"({"ok":true,"result":{"events":["paused"]}})");
  EXPECT_CONTAINS(some.run("status"), R"("state":"paused")");
}

TEST(a_guest_that_breaks_a_rule_is_an_event_with_the_running_count) {
  Rig rig({"9,virtio-blk,ram:1M"});
  RawGuest guest = must(RawGuest::start(rig.target.board(), {0, 9, 0}));
  Client client(rig.path);
  EXPECT_CONTAINS(client.run("subscribe", R"(["guest_error", "queue_stopped"])"), R"("ok":true)");
  std::vector<std::byte> data(512);
  for (int i = 0; i < 9; i++) guest.request(VIRTIO_BLK_T_IN, 1 << 20, data);
  for (const int count : {1, 2, 3, 4, 8}) {  // thinned out as in the log
    EXPECT_EQ(event_of(client), (nlohmann::json{{"event", "guest_error"},
                                                {"slot", "0:9:0"},
                                                {"rule", "sector-past-end"},
                                                {"value", 1 << 20},
                                                {"count", count}}));
  }
  const RawGuest::Piece no_status[] = {{guest.header(VIRTIO_BLK_T_IN, 0), 16, false}};
  guest.chain(0, no_status);
  guest.offer(0);
  guest.kick();
  EXPECT_EQ(event_of(client)["rule"].get<std::string>(), "status-missing");
  EXPECT_EQ(event_of(client), nlohmann::json::parse(R"({"event":"queue_stopped","slot":"0:9:0","queue":0,"count":1})"));
}

// No file of this process may be longer, as long as it lives.
class LongestFile {
 public:
  explicit LongestFile(rlim_t bytes) : before_(::signal(SIGXFSZ, SIG_IGN)) {
    EXPECT(::getrlimit(RLIMIT_FSIZE, &limit_) == 0);
    const rlimit lower{bytes, limit_.rlim_max};
    EXPECT(::setrlimit(RLIMIT_FSIZE, &lower) == 0);
  }
  ~LongestFile() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    ::signal(SIGXFSZ, before_);
  }

 private:
  rlimit limit_{};
  void (*before_)(int);
};

TEST(a_request_that_the_host_fails_is_an_event_with_its_errno) {
  Rig rig({"7,virtio-blk,nodisk"});
  const std::string path = rig.directory.file("disk.img", 1 << 20);
  Client client(rig.path);
  EXPECT_CONTAINS(client.run("blkrescan", "\"7," + path + "\""), R"("ok":true)");
  EXPECT_CONTAINS(client.run("subscribe", R"(["io_error"])"), R"("ok":true)");
  RawGuest guest = must(RawGuest::start(rig.target.board(), {0, 7, 0}));
  std::vector<std::byte> data(512);
  {
    const LongestFile limit(512 << 10);
    EXPECT_EQ(guest.request(VIRTIO_BLK_T_OUT, 2000, data)->status, VIRTIO_BLK_S_IOERR);
  }
  EXPECT_EQ(
      event_of(client),
      nlohmann::json::parse(R"({"event":"io_error","slot":"0:7:0","operation":"write","error":"EFBIG","count":1})"));
}

// COVERS(input): control socket: a client that never reads
TEST(a_subscriber_that_never_reads_is_dropped_and_the_others_are_told) {
  Rig rig;
  Client deaf(rig.path), other(rig.path);
  EXPECT_CONTAINS(deaf.run("subscribe"), R"("ok":true)");
  EXPECT_CONTAINS(other.run("subscribe", R"(["paused", "resumed"])"), R"("ok":true)");
  // Far more than what a socket holds, and what the server keeps.
  for (int i = 0; i < 100'000; i++) {
    rig.target.events().add({.kind = ControlEventKind::kResized, .slot = "0:9:0", .value = 7});
    if (i % 500 == 0) rig.loop->run([] {});
  }
  EXPECT_CONTAINS(other.run("status"), R"("ok":true)");
  rig.target.events().add({.kind = ControlEventKind::kResumed});
  for (std::string event; event != "resumed";) event = event_of(other)["event"].get<std::string>();  // some may be lost
  // What the socket held is still there; then it is over.
  unsigned lines = 0;
  while (deaf.line()) lines++;
  EXPECT(lines < 100'000);
}

// Rows Q12 and B22: while a guest does nothing but kick, or send what nobody can answer, the socket answers.
// COVERS(Q12): kicks too early; a million kicks
// COVERS(B22): a million malformed requests
TEST(the_socket_answers_while_a_guest_misbehaves) {
  Rig rig({"9,virtio-blk,ram:1M"});
  RawGuest guest = must(RawGuest::start(rig.target.board(), {0, 9, 0}));
  const RawGuest::Piece malformed[] = {{guest.header(VIRTIO_BLK_T_IN, 1 << 30), 8, false}, {guest.status(), 1, true}};
  guest.chain(0, malformed);
  std::atomic<bool> stop{false};
  std::thread cpu([&] {
    for (uint16_t offered = 0; !stop;) {
      if (guest.ring().used_index() == offered) guest.offer(0), offered++;
      for (int i = 0; i < 10; i++) guest.kick();
    }
  });
  Client client(rig.path);
  bool answered = true;
  for (int i = 0; i < 500 && answered; i++) answered = client.run("stats").find(R"("ok":true)") != std::string::npos;
  answered =
      answered && wait_until([&] { return client.run("stats").find(R"("header-too-short")") != std::string::npos; });
  stop = true;
  cpu.join();
  EXPECT(answered);
}

}  // namespace
}  // namespace acrn
