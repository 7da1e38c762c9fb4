// Any bytes as what an NBD client sends before its first request: each step ends with an answer of a bounded size, or
// with the client's end.
// COVERS(input): NBD clients: any bytes before the first request
#include <algorithm>
#include <cstdint>
#include <vector>

#include "dm/server/nbd/negotiation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using acrn::nbd::Negotiation;
  std::vector<uint8_t> reply;
  Negotiation negotiation({.size = 1 << 20, .tells_zeroes = true}, reply);
  std::span<const uint8_t> rest(data, size);
  while (negotiation.wanted() <= rest.size()) {
    const size_t wanted = negotiation.wanted();
    reply.clear();
    const auto next = negotiation.take(rest.first(wanted));
    if (reply.size() > 256 || negotiation.wanted() == 0 || negotiation.wanted() > 8192) __builtin_trap();
    if (next != Negotiation::Next::kAnotherStep) break;
    rest = rest.subspan(wanted);
  }
  return 0;
}
