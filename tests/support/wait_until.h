// Waits for what another thread is certain to do.
#pragma once

#include <chrono>
#include <thread>

namespace acrn::test {

// True as soon as the condition holds; false if it does not within 30 seconds.
template <class Condition>
bool wait_until(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace acrn::test
