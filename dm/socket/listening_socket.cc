#include "dm/socket/listening_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"
#include "dm/base/folder.h"
#include "dm/socket/inherited_sockets.h"
#include "dm/socket/unix_address.h"

namespace acrn {
namespace {

constexpr int kBacklog = 16;
constexpr unsigned kAttempts = 3;

// Whose socket it is, for messages.
struct Wish {
  std::string_view option;
  const std::string& path;
  std::string_view advice;

  Error refuse(std::string_view why, ErrorKind kind = ErrorKind::kNoInput) const {
    return {kind, concat(option, " ", path, ": ", why, "; ", advice)};
  }
  Error fail(std::string_view call) const {
    return {ErrorKind::kInternal, concat(option, " ", path, ": ", call, ": ", errno_text(errno))};
  }
};

UniqueFd unix_socket() { return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

Result<UnixAddress> address_of(const Wish& wish) {
  const auto address = UnixAddress::of(wish.path);
  if (!address) return wish.refuse("not a socket's path of 1 to 107 bytes", ErrorKind::kUsage);
  return *address;
}

// What is at the path: nothing, or a socket that a process which is gone has left.
Result<std::optional<struct stat>> leftover(const Wish& wish, const UnixAddress& address) {
  struct stat found;
  if (::lstat(wish.path.c_str(), &found) != 0) {
    if (errno == ENOENT) return std::optional<struct stat>();
    return wish.refuse(errno_text(errno));
  }
  if (!S_ISSOCK(found.st_mode)) return wish.refuse("there is something that is not a socket");
  const UniqueFd probe = unix_socket();
  if (!probe) return wish.fail("socket");
  // Any other outcome but this one is a sign of life, or of a socket that is none of our business.
  if (::connect(probe.fd(), address.get(), address.size()) == 0) return wish.refuse("another process serves it");
  if (errno == ENOENT) return std::optional<struct stat>();
  if (errno != ECONNREFUSED) return wish.refuse(concat("another process has it (", errno_text(errno), ")"));
  return std::optional(found);
}

// Removes such a socket.
Result<void> make_room(const Wish& wish, const UnixAddress& address) {
  const auto before = leftover(wish, address);
  if (!before) return before.error();
  if (!before.value()) return {};
  // Somebody else may have been as quick as we are.
  const char* const path = wish.path.c_str();
  struct stat now;
  if (::lstat(path, &now) != 0 || now.st_dev != before.value()->st_dev || now.st_ino != before.value()->st_ino)
    return {};
  if (::unlink(path) != 0 && errno != ENOENT) {
    return wish.refuse(concat("the old socket cannot be removed: ", errno_text(errno)));
  }
  return {};
}

// A TCP socket that has the port, and does not listen yet: nobody can connect to it.
Result<UniqueFd> bind_port(const Wish& wish, const LoopbackPort& place) {
  UniqueFd socket(::socket(place.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return wish.refuse(errno_text(errno));
  const int on = 1;  // connections of a server that has ended keep its port for a while
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  ipv4.sin_port = htons(place.port);
  ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(place.port);
  ipv6.sin6_addr = in6addr_loopback;
  // SAFETY: both are a sockaddr to the socket calls.
  const auto* const address =
      place.ipv6 ? reinterpret_cast<const sockaddr*>(&ipv6) : reinterpret_cast<const sockaddr*>(&ipv4);
  const socklen_t size = place.ipv6 ? sizeof(ipv6) : sizeof(ipv4);
  if (::bind(socket.fd(), address, size) != 0) return wish.refuse(errno_text(errno));
  return socket;
}

}  // namespace

Result<ListeningSocket> ListeningSocket::create_at(std::string_view option, const ListeningPlace& place,
                                                   std::string_view advice) {
  if (const auto* path = std::get_if<std::string>(&place)) return create(option, *path, advice);
  const std::string name = to_text(place);
  const Wish wish{option, name, advice};
  auto socket = bind_port(wish, std::get<LoopbackPort>(place));
  if (!socket) return socket.error();
  if (::listen(socket.value().fd(), kBacklog) != 0) return wish.refuse(errno_text(errno));
  return ListeningSocket(std::move(socket).value(), "", {});
}

Result<void> ListeningSocket::check_at(std::string_view option, const ListeningPlace& place, std::string_view advice) {
  if (const auto* path = std::get_if<std::string>(&place)) return check(option, *path, advice);
  const std::string name = to_text(place);
  auto socket = bind_port({option, name, advice}, std::get<LoopbackPort>(place));
  return socket ? Result<void>() : socket.error();
}

Result<ListeningSocket> ListeningSocket::create(std::string_view option, const std::string& path,
                                                std::string_view advice) {
  const Wish wish{option, path, advice};
  if (UniqueFd inherited = InheritedSockets::take_listening(path)) return ListeningSocket(std::move(inherited), "", {});
  const auto where = address_of(wish);
  if (!where) return where.error();
  const UnixAddress& address = where.value();
  UniqueFd socket = unix_socket();
  // The mode that the path gets is the socket's own without the umask's bits, so nobody else ever gets in.
  if (!socket || ::fchmod(socket.fd(), S_IRUSR | S_IWUSR) != 0) {
    return wish.fail("socket");
  }
  bool bound = false;
  for (unsigned attempt = 0; attempt < kAttempts && !bound; attempt++) {
    if (auto room = make_room(wish, address); !room) return room.error();
    bound = ::bind(socket.fd(), address.get(), address.size()) == 0;
    if (!bound && errno != EADDRINUSE) return wish.refuse(errno_text(errno));
  }
  if (!bound) return wish.refuse("another process is just taking it");
  struct stat place;
  if (::lstat(path.c_str(), &place) != 0) return wish.refuse(errno_text(errno));
  ListeningSocket listening(std::move(socket), path, place);  // from here on the path goes if we fail
  // A umask that takes the owner's own bits away.
  if ((place.st_mode & 0777) != 0600 && ::chmod(path.c_str(), 0600) != 0) return wish.refuse(errno_text(errno));
  if (::listen(listening.fd(), kBacklog) != 0) return wish.refuse(errno_text(errno));
  return listening;
}

Result<void> ListeningSocket::check(std::string_view option, const std::string& path, std::string_view advice) {
  const Wish wish{option, path, advice};
  if (InheritedSockets::has(path)) return {};
  const auto address = address_of(wish);
  if (!address) return address.error();
  if (const auto found = leftover(wish, address.value()); !found) return found.error();
  if (const int error = cannot_create_in(parent_folder(path)); error != 0) return wish.refuse(errno_text(error));
  return {};
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : socket_(std::move(other.socket_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

ListeningSocket::~ListeningSocket() {
  if (path_.empty()) return;
  struct stat place;
  if (::lstat(path_.c_str(), &place) != 0 || place.st_dev != device_ || place.st_ino != inode_) return;
  ::unlink(path_.c_str());
}

}  // namespace acrn
