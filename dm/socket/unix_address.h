// UnixAddress: a path as the socket calls take it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string_view>

namespace acrn {

class UnixAddress {
 public:
  // nullopt: it is empty, longer than kMostPath, or has a NUL in it.
  static constexpr size_t kMostPath = sizeof(sockaddr_un::sun_path) - 1;  // bytes
  static std::optional<UnixAddress> of(std::string_view path) {
    if (path.empty() || path.size() > kMostPath || path.find('\0') != std::string_view::npos) return std::nullopt;
    UnixAddress made;
    path.copy(made.address_.sun_path, path.size());
    return made;
  }

  // SAFETY: a sockaddr_un is a sockaddr to the socket calls.
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return sizeof(address_); }

 private:
  UnixAddress() = default;

  sockaddr_un address_{.sun_family = AF_UNIX, .sun_path = {}};
};

}  // namespace acrn
