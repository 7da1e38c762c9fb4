// ACRN_CHECK: aborts on a bug of our own (a chain returned twice, the wrong thread), with file and line.
// Never used on anything that a guest, a file or a peer can choose.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace acrn {

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: internal error: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace acrn

#define ACRN_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::acrn::check_failed(__FILE__, __LINE__, #condition))
