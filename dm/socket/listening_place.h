// Where a server listens: at a path, or at a port that only this host reaches. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace acrn {

struct LoopbackPort {
  bool ipv6 = false;  // [::1], else 127.0.0.1
  uint16_t port = 0;
};

using ListeningPlace = std::variant<std::string, LoopbackPort>;

// "[127.0.0.1:]<port>" or "[::1]:<port>"; else a path, which has a '/', or neither a ':' nor digits alone. Nothing: it
// is none of these, like the address of another interface.
std::optional<ListeningPlace> parse_listening_place(std::string_view text);

// As messages show it.
std::string to_text(const ListeningPlace& place);

}  // namespace acrn
