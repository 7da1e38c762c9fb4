// must(): the value of a Result, or a failure of the test that says where and what went wrong.
#pragma once

#include <string>
#include <utility>

#include "acrn/base/result.h"
#include "tests/support/test.h"

namespace acrn::test {

// `file`, `line`: the caller's.
template <class T>
T must(Result<T> result, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!result.ok()) throw Failure{std::string(file) + ":" + std::to_string(line), result.error().message};
  return std::move(result).value();
}
inline void must(const Result<void>& result, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!result.ok()) throw Failure{std::string(file) + ":" + std::to_string(line), result.error().message};
}

}  // namespace acrn::test
