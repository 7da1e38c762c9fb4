#include "dm/socket/listening_place.h"

#include <charconv>

#include "acrn/base/concat.h"

namespace acrn {
namespace {

constexpr std::string_view kIpv4 = "127.0.0.1:", kIpv6 = "[::1]:";

// 1 to 65535, in decimal digits and nothing else.
std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (text.empty() || error != std::errc{} || stop != end || port == 0) return std::nullopt;
  return port;
}

}  // namespace

std::optional<ListeningPlace> parse_listening_place(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (text.find('/') != std::string_view::npos) return std::string(text);
  const bool digits = text.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits && text.find(':') == std::string_view::npos) return std::string(text);
  const bool ipv6 = text.starts_with(kIpv6);
  if (ipv6) {
    text.remove_prefix(kIpv6.size());
  } else if (text.starts_with(kIpv4)) {
    text.remove_prefix(kIpv4.size());
  }
  const auto port = parse_port(text);
  if (!port) return std::nullopt;
  return LoopbackPort{ipv6, *port};
}

std::string to_text(const ListeningPlace& place) {
  if (const auto* path = std::get_if<std::string>(&place)) return *path;
  const auto& [ipv6, port] = std::get<LoopbackPort>(place);
  return concat(ipv6 ? kIpv6 : kIpv4, port);
}

}  // namespace acrn
