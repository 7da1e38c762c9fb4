// Waits for what another thread is certain to do soon.
#pragma once

#include <chrono>
#include <thread>

namespace acrn::test {

template <class Condition>
bool soon(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace acrn::test
