#include "dm/socket/inherited_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START

struct Inherited {
  std::string name, path;
  UniqueFd socket;
  bool connected;
};

std::vector<Inherited> sockets;

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before there is another thread
  return value != nullptr ? value : "";
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

enum class Kind { kOther, kListening, kConnected };

Kind kind_of(int fd) {
  const auto option = [fd](int name) {
    int value = -1;
    socklen_t size = sizeof(value);
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  if (option(SO_DOMAIN) != AF_UNIX || option(SO_TYPE) != SOCK_STREAM) return Kind::kOther;
  if (option(SO_ACCEPTCONN) == 1) return Kind::kListening;
  sockaddr_un peer;
  socklen_t size = sizeof(peer);
  // SAFETY: what the call takes for an address.
  const bool connected = ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
  return connected ? Kind::kConnected : Kind::kOther;
}

std::string path_of(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof(address);
  // SAFETY: as above.
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  return {address.sun_path, ::strnlen(address.sun_path, sizeof(address.sun_path))};
}

auto find(const std::string& path) {
  const std::string last = path.substr(path.rfind('/') + 1);
  return std::find_if(sockets.begin(), sockets.end(), [&](const Inherited& each) {
    return (!each.path.empty() && each.path == path) || each.name == path || each.name == last ||
           concat(each.name, ".sock") == last;
  });
}

UniqueFd take(const std::string& path, bool connected) {
  const auto found = find(path);
  if (found == sockets.end() || found->connected != connected) return {};
  UniqueFd socket = std::move(found->socket);
  sockets.erase(found);
  return socket;
}

}  // namespace

Result<void> InheritedSockets::add(int fd, const std::string& name) {
  const Kind kind = kind_of(fd);
  if (kind == Kind::kOther) {
    return Error{ErrorKind::kUsage, concat("descriptor ", fd, ": not a UNIX stream socket that listens or has a peer")};
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
  sockets.push_back({name, path_of(fd), UniqueFd(fd), kind == Kind::kConnected});
  return {};
}

void InheritedSockets::take_environment() {
  const auto process = number(variable("LISTEN_PID"));
  const int count = number(variable("LISTEN_FDS")).value_or(0);
  std::string names(variable("LISTEN_FDNAMES"));
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe): as above
  }
  if (process != ::getpid()) return;
  for (int i = 0; i < count; i++) {
    const size_t end = names.find(':');
    static_cast<void>(add(kFirst + i, names.substr(0, end)));  // what is no such socket is for others
    names = end == std::string::npos ? "" : names.substr(end + 1);
  }
}

bool InheritedSockets::has(const std::string& path) { return find(path) != sockets.end(); }

bool InheritedSockets::has_connected(const std::string& path) {
  const auto found = find(path);
  return found != sockets.end() && found->connected;
}

UniqueFd InheritedSockets::take_listening(const std::string& path) { return take(path, false); }

UniqueFd InheritedSockets::take_connected(const std::string& path) { return take(path, true); }

ReadyNotice::ReadyNotice() {
  const std::string_view place = variable("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (place.empty() || place.size() >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, place.data(), place.size());
  if (place[0] == '@') address.sun_path[0] = '\0';  // abstract
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.size());
  // SAFETY: as above.
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), size) == 0) socket_ = std::move(socket);
}

void ReadyNotice::send() {
  constexpr std::string_view kReady = "READY=1";
  if (socket_) ::send(socket_.fd(), kReady.data(), kReady.size(), MSG_NOSIGNAL);
  socket_.reset();
}

}  // namespace acrn
