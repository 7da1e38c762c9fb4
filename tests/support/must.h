// must(): the value of a Result, or a failure of the test that says what went wrong.
#pragma once

#include <utility>

#include "acrn/base/result.h"
#include "tests/support/test.h"

namespace acrn::test {

template <class T>
T must(Result<T> result) {
  if (!result.ok()) throw Failure{"must", result.error().message};
  return std::move(result).value();
}
inline void must(const Result<void>& result) {
  if (!result.ok()) throw Failure{"must", result.error().message};
}

}  // namespace acrn::test
