#include "dm/socket/listening_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "acrn/base/concat.h"
#include "dm/base/errno_text.h"

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

// SAFETY: a sockaddr_un is a sockaddr to the socket calls.
const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

// Whether a socket left by a process that is gone was removed from the path, or nothing was there.
Result<void> make_room(const Wish& wish, const sockaddr_un& address) {
  const std::string& path = wish.path;
  struct stat before, now;
  if (::lstat(path.c_str(), &before) != 0) {
    if (errno == ENOENT) return {};
    return wish.refuse(errno_text(errno));
  }
  if (!S_ISSOCK(before.st_mode)) return wish.refuse("there is something that is not a socket");
  const UniqueFd probe = unix_socket();
  if (!probe) return wish.fail("socket");
  // Any other outcome but this one is a sign of life, or of a socket that is none of our business.
  if (::connect(probe.fd(), generic(address), sizeof(address)) == 0) return wish.refuse("another process serves it");
  if (errno == ENOENT) return {};
  if (errno != ECONNREFUSED) return wish.refuse(concat("another process has it (", errno_text(errno), ")"));
  // Somebody else may have been as quick as we are.
  if (::lstat(path.c_str(), &now) != 0 || now.st_dev != before.st_dev || now.st_ino != before.st_ino) return {};
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return wish.refuse(concat("the old socket cannot be removed: ", errno_text(errno)));
  }
  return {};
}

}  // namespace

Result<ListeningSocket> ListeningSocket::create(std::string_view option, const std::string& path,
                                                std::string_view advice) {
  const Wish wish{option, path, advice};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path) || path.find('\0') != std::string::npos) {
    return wish.refuse("not a socket's path of 1 to 107 bytes", ErrorKind::kUsage);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket = unix_socket();
  // The mode that the path gets is the socket's own without the umask's bits, so nobody else ever gets in.
  if (!socket || ::fchmod(socket.fd(), S_IRUSR | S_IWUSR) != 0) {
    return wish.fail("socket");
  }
  bool bound = false;
  for (unsigned attempt = 0; attempt < kAttempts && !bound; attempt++) {
    if (auto room = make_room(wish, address); !room) return room.error();
    bound = ::bind(socket.fd(), generic(address), sizeof(address)) == 0;
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
