// The place of --metrics, by real sockets and by readers that mean no good (docs/monitoring.md).
#include "dm/control/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <filesystem>
#include <optional>

#include "dm/base/log_setup.h"
#include "dm/control/http_session.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"
#include "tests/support/unix_client.h"
#include "tests/support/wait_until.h"

namespace acrn {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// A machine with as many disks as it takes to fill a socket.
class Target final : public ControlTarget {
 public:
  explicit Target(size_t disks) : disks_(disks) {}
  Result<void> blkrescan(const RescanRequest&) override { return {}; }
  Result<uint64_t> resize(PciAddress) override { return uint64_t{0}; }
  Result<DiskLimits> limits(PciAddress, std::span<const std::string>) override { return DiskLimits{}; }
  Result<void> trace(PciAddress, bool) override { return {}; }
  Result<void> mark(PciAddress, const std::string&) override { return {}; }
  std::vector<DeviceReport> stats() override {
    std::vector<DeviceReport> reports;
    for (size_t i = 0; i < disks_; i++) {
      reports.push_back(
          {.slot = std::to_string(i), .emulation = "virtio-blk", .source = "ram:1048576", .queues = {{}}});
      reports.back().bytes = 1048576;
    }
    return reports;
  }
  Result<void> pause() override { return {}; }
  Result<void> resume() override { return {}; }
  void stop() override {}
  MachineStatus status() override { return {"vm1", "615db82a-e189-4b4f-8dbb-d321343e4ab3", true}; }

 private:
  const size_t disks_;
};

struct Rig {
  TempDir directory;
  std::string path = directory.path("metrics.sock");
  Target target;
  std::unique_ptr<EpollLoop> loop = must(EpollLoop::create("control", {}));
  std::unique_ptr<MetricsServer> server;

  explicit Rig(size_t disks = 1) : target(disks) {
    static const bool quiet = setup_logging({.console = 1}, "").ok();
    EXPECT(quiet);
    server = must(MetricsServer::create(*loop, path, target));
  }
};

bool send(const UniqueFd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  return true;
}

// All that comes until the other end closes.
std::string rest_of(const UniqueFd& socket) {
  std::string text;
  char bytes[65536];
  for (ssize_t size; (size = ::recv(socket.fd(), bytes, sizeof(bytes), 0)) > 0;)
    text.append(bytes, static_cast<size_t>(size));
  return text;
}

const std::string kGet = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

std::string got(const std::string& path) {
  const UniqueFd socket = connect_to(path);
  return socket && send(socket, kGet) ? rest_of(socket) : "";
}

// A port that was free a moment ago.
LoopbackPort free_port(bool ipv6) {
  UniqueFd socket(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  socklen_t size = ipv6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (ipv6) {
    auto& place = reinterpret_cast<sockaddr_in6&>(address);
    place.sin6_family = AF_INET6;
    place.sin6_addr = in6addr_loopback;
  } else {
    auto& place = reinterpret_cast<sockaddr_in&>(address);
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  if (::bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), size) != 0) return {ipv6, 0};
  EXPECT(::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return {ipv6, ntohs(ipv6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                           : reinterpret_cast<sockaddr_in&>(address).sin_port)};
}

UniqueFd connect_to_port(const LoopbackPort& place) {
  UniqueFd socket(::socket(place.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{20, 0};
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in ipv4{
      .sin_family = AF_INET, .sin_port = htons(place.port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(place.port);
  ipv6.sin6_addr = in6addr_loopback;
  const auto* const address =
      place.ipv6 ? reinterpret_cast<const sockaddr*>(&ipv6) : reinterpret_cast<const sockaddr*>(&ipv4);
  if (::connect(socket.fd(), address, place.ipv6 ? sizeof(ipv6) : sizeof(ipv4)) != 0) socket.reset();
  return socket;
}

TEST(a_reader_gets_the_metrics_and_the_connection_ends) {
  Rig rig;
  const std::string response = got(rig.path);
  EXPECT(response.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_CONTAINS(response, "\nacrn_vm_paused{vm=\"vm1\"} 1\n");
  EXPECT_CONTAINS(response, "\nacrn_disk_size_bytes{vm=\"vm1\",slot=\"0\"} 1048576\n");
}

TEST(the_socket_is_its_owners_alone_and_goes_with_the_server) {
  Rig rig;
  struct stat status {};
  EXPECT(::lstat(rig.path.c_str(), &status) == 0);
  EXPECT_EQ(status.st_mode, static_cast<mode_t>(S_IFSOCK | 0600));
  rig.server.reset();
  EXPECT(!std::filesystem::exists(rig.path));
}

TEST(a_port_of_the_loopback_address_has_them_too) {
  for (const bool ipv6 : {false, true}) {
    Rig rig;
    const LoopbackPort place = free_port(ipv6);
    if (place.port == 0) SKIP("this host has no IPv6 on its loopback interface");
    must(MetricsServer::check(place));
    const auto server = must(MetricsServer::create(*rig.loop, place, rig.target));
    const UniqueFd socket = connect_to_port(place);
    EXPECT(socket && send(socket, kGet));
    EXPECT_CONTAINS(rest_of(socket), "acrn_vm_paused");
    // And nobody else gets it.
    for (const bool only_check : {true, false}) {
      const Result<void> refused = only_check ? MetricsServer::check(place) : [&]() -> Result<void> {
        auto second = MetricsServer::create(*rig.loop, place, rig.target);
        return second ? Result<void>() : second.error();
      }();
      EXPECT(!refused.ok());
      EXPECT(refused.error().kind == ErrorKind::kNoInput);
      EXPECT_CONTAINS(refused.error().message, "--metrics " + to_text(place) + ": Address already in use; give ");
    }
  }
}

// COVERS(input): metrics: more than a reader needs to say, by TCP: it still gets its answer
TEST(a_reader_that_says_too_much_gets_its_answer_nevertheless) {
  Rig rig;
  const LoopbackPort place = free_port(false);
  const auto server = must(MetricsServer::create(*rig.loop, place, rig.target));
  const UniqueFd socket = connect_to_port(place);
  EXPECT(send(socket, "GET /metrics HTTP/1.1\r\nX: " + std::string(512 * 1024, 'x')));
  EXPECT_CONTAINS(rest_of(socket), "HTTP/1.1 431 ");
  const UniqueFd second = connect_to_port(place);
  EXPECT(send(second, kGet + kGet + std::string(100'000, 'x')));
  const std::string response = rest_of(second);
  EXPECT_CONTAINS(response, "HTTP/1.1 200 OK");
  EXPECT_EQ(response.find("HTTP/1.1", 1), std::string::npos);  // one answer
}

// COVERS(input): metrics: garbage, and readers that leave at any moment
TEST(garbage_is_answered_and_a_reader_may_leave_at_any_moment) {
  Rig rig(64);
  for (size_t i = 0; i < 200; i++) {
    const UniqueFd socket = connect_to(rig.path);
    if (socket) send(socket, kGet.substr(0, i % (kGet.size() + 1)));
  }
  EXPECT(wait_until([&] { return got(rig.path).starts_with("HTTP/1.1 200"); }));
  const UniqueFd socket = connect_to(rig.path);
  EXPECT(send(socket, std::string("\0\xff\x01\r\n\r\n", 7)));
  EXPECT_CONTAINS(rest_of(socket), "HTTP/1.1 400 ");
}

// COVERS(input): metrics: too many readers, that say nothing
TEST(readers_that_say_nothing_are_dropped_after_a_while) {
  Rig rig;
  std::vector<UniqueFd> silent;
  for (size_t i = 0; i < MetricsServer::kMaxClients; i++) {
    silent.push_back(connect_to(rig.path));
    EXPECT(send(silent.back(), "GET /metr"));
  }
  const UniqueFd one_more = connect_to(rig.path);
  EXPECT_CONTAINS(rest_of(one_more), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(rest_of(silent.front()), "");  // ends when it is dropped
  EXPECT(wait_until([&] { return got(rig.path).starts_with("HTTP/1.1 200"); }));
}

// COVERS(input): metrics: slow bytes, and a reader that never reads
TEST(slow_bytes_are_a_request_and_who_does_not_read_holds_up_nobody) {
  Rig rig(600);
  const UniqueFd slow = connect_to(rig.path), deaf = connect_to(rig.path);
  EXPECT(send(deaf, kGet));  // a response that no socket holds
  for (const char byte : kGet) {
    EXPECT(send(slow, {&byte, 1}));
    if (byte == '\n') EXPECT(got(rig.path).ends_with("\n"));
  }
  const std::string response = rest_of(slow);
  EXPECT(response.size() > (1u << 19));
  const size_t body = response.find("\r\n\r\n") + 4;
  EXPECT_CONTAINS(response, "Content-Length: " + std::to_string(response.size() - body) + "\r\n");
}

TEST(the_server_may_end_with_readers_at_work) {
  for (int i = 0; i < 20; i++) {
    Rig rig(500);
    const UniqueFd idle = connect_to(rig.path), deaf = connect_to(rig.path);
    EXPECT(send(deaf, kGet));
    rig.server.reset();
    EXPECT_EQ(rest_of(idle), "");
  }
}

}  // namespace
}  // namespace acrn
