// Any bytes as what a reader of the metrics sends, in pieces: at most one response, which is whole, and nothing after
// it. The first byte says how long the pieces are.
// COVERS(input): metrics: any bytes, in pieces
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "dm/control/http_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  acrn::HttpSession session([](acrn::MetricsFormat) { return std::string("# EOF\n"); });
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t piece = data[0] == 0 ? std::max<size_t>(rest.size(), 1) : data[0];
  size_t responses = 0;
  for (bool finished = false; !finished;) {
    finished = rest.empty();
    finished ? session.finish() : session.add(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
    while (const auto response = session.next()) {
      if (++responses > 1 || !session.is_over()) __builtin_trap();
      if (!response->starts_with("HTTP/1.1 ") || response->find("\r\n\r\n") == std::string::npos) __builtin_trap();
    }
  }
  if (!session.is_over()) __builtin_trap();
  return 0;
}
